"""Keys that are set and that nothing reads: misspelt, in another's namespace, or without effect."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

import pulumi

from infra.settings import access, gke, knative, local, monitoring, project_file, web

_GCP_KEYS = (
    "project",
    "credentials",
    "accessToken",
    "impersonateServiceAccount",
    "impersonateServiceAccountDelegates",
    "billingProject",
    "userProjectOverride",
)
"""Settings of Google Cloud's provider that may be meant."""
_GCP_PLACES = ("gcp:region", "gcp:zone")
_SIMILARITY = 0.77
"""Of two keys, from 0 to 1, from which on one may be meant by the other."""


def lines(config: Mapping[str, str], project: str, own: Iterable[str]) -> list[str]:
    """A warning for each key of the current stack that nothing reads."""
    own = frozenset(own)
    prefix = f"{project}:"
    values = {k.removeprefix(prefix): v for k, v in config.items() if k.startswith(prefix)}
    found = in_another_namespace(config, own, project)
    if values.get("target") == "gke":
        found += places(config, project)
    elif "gcp:project" in config:
        found.append(
            f"gcp:project: has no effect with target local; a cluster is {prefix}target: gke"
        )
    return found + without_effect(given(values, pulumi.get_stack(), project), values)


def likely(key: str, own: Iterable[str]) -> str | None:
    """The key that is meant by this one; None if it is like no other.

    It is the project's, without a namespace, or Google Cloud's, with it.
    """
    return _closest(key, {**_of_gcp(), **{_plain(name): name for name in own}}, _SIMILARITY)


def in_another_namespace(config: Mapping[str, str], own: Iterable[str], project: str) -> list[str]:
    """A line for each key whose namespace makes nothing read it, with the key that is meant.

    Other providers have settings of their own, and Google Cloud's are too many to list.
    """
    names = {_plain(name): f"{project}:{name}" for name in own}
    lines: list[str] = []
    for key in sorted(config):
        namespace = key.rpartition(":")[0]
        if namespace == project or (namespace == "gcp" and key.endswith("CustomEndpoint")):
            continue
        meant = _closest(key, {"project": "gcp:project", **names}, 1)
        if meant is None and namespace == "gcp":
            meant = _closest(key, _of_gcp(), _SIMILARITY)
        elif meant is None and _similarity(namespace, project) >= _SIMILARITY:
            meant = _closest(key, names, _SIMILARITY)
        if meant not in (None, key):
            lines.append(f"{key}: nothing reads this key; did you mean {meant}?")
    return lines


def places(config: Mapping[str, str], project: str) -> list[str]:
    """A line for each place of Google Cloud's provider that is not the cluster's."""
    location = config.get(f"{project}:location", "")
    return [
        f"{key}: has no effect; {project}:location says where the cluster is: {location}"
        for key in _GCP_PLACES
        if (place := config.get(key))
        and not (place.startswith(location) or location.startswith(place))
    ]


def without_effect(given: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """A line for each key that is set, and has no effect beside the other settings."""
    target = values.get("target")
    reasons: dict[str, str] = {}
    if target == "local":
        reasons |= dict.fromkeys(gke.KEYS, "with target local")
    if target == "gke":
        reasons |= dict.fromkeys(local.KEYS, "with target gke")
        if values.get("mode") == knative.KNATIVE:
            reasons["cpuTargetPercent"] = "with mode knative"
        else:
            reasons |= dict.fromkeys(knative.OF_KNATIVE, "with mode deployment")
        if values.get("minReplicas") == values.get("maxReplicas"):
            reasons["cpuTargetPercent"] = "while minReplicas equals maxReplicas"
        if not access.is_open(values):
            # A static address stays reserved.
            of_load_balancers = access.KEYS - {*access.OPENING, "loadBalancerAddress"}
            *others, last = access.OPENING
            closed = f"while {', '.join(others)} and {last} open nothing"
            reasons |= dict.fromkeys(of_load_balancers, closed)
        if not values.get(monitoring.ALERT_EMAIL):
            reasons[monitoring.BUDGET] = f"while {monitoring.ALERT_EMAIL} is empty"
        if values.get("webImage"):
            reasons |= dict.fromkeys(web.KEYS - {"webImage"}, "while webImage names an image")
    return [f"{key}: has no effect {reasons[key]}" for key in sorted(given) if key in reasons]


def given(values: Mapping[str, str], stack: str, project: str) -> set[str]:
    """The keys that somebody has set, in the stack's file or elsewhere.

    Pulumi fills in the defaults of the others; from elsewhere, such as an environment of Pulumi
    Cloud, a value shows by being another one than the default.
    """
    in_file = project_file.stack_config(stack)
    defaults = project_file.defaults()
    return {
        key
        for key, value in values.items()
        if f"{project}:{key}" in in_file or value != defaults.get(key)
    }


def _of_gcp() -> dict[str, str]:
    return {_plain(name): f"gcp:{name}" for name in _GCP_KEYS}


def _closest(key: str, known: Mapping[str, str], similarity: float) -> str | None:
    name = _plain(key.rpartition(":")[2])
    found = difflib.get_close_matches(name, known, n=1, cutoff=similarity)
    return known[found[0]] if found else None


def _similarity(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _plain(name: str) -> str:
    """`rest_port` and `restport` mean `restPort`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
