"""The settings of the mode: a Deployment's pods, or Knative's, which come and go by request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from infra.settings.values import SettingsError, choice, integer, required

Mode = Literal["deployment", "knative"]
DEPLOYMENT: Mode = "deployment"
KNATIVE: Mode = "knative"

OF_KNATIVE = frozenset({"canaryPercent", "stableRevision"})
KEYS = OF_KNATIVE | {"mode", "sessionAffinity"}

WORKERS = "diffusion"
"""The Knative Service of the workers, with which the names of its revisions begin."""
_FINGERPRINT_DIGITS = 16
_REVISION = re.compile(
    rf"{WORKERS}-(?P<fingerprint>[0-9a-f]{{{_FINGERPRINT_DIGITS}}})-[0-9a-f]{{8}}"
)
_PERCENT = range(0, 101)
_ALL = 100


@dataclass(frozen=True)
class KnativeSettings:
    """canary_percent: of the requests, to the newest revision; the stable one gets the others.

    stable_revision: its name; empty if the newest one gets all and no other is needed.
    """

    canary_percent: int
    stable_revision: str

    @property
    def stable_fingerprint(self) -> str:
        """Of the model that the stable revision serves."""
        named = _REVISION.fullmatch(self.stable_revision)
        return named["fingerprint"] if named else ""


def parse(values: Mapping[str, str]) -> KnativeSettings | None:
    """The settings, or None for a Deployment. Raises SettingsError for the first invalid one."""
    mode = cast(Mode, choice(values, "mode", (DEPLOYMENT, KNATIVE)))
    affinity = choice(values, "sessionAffinity", ("client", "cookie"))
    percent = integer(values, "canaryPercent", _PERCENT, str(_ALL))
    stable = required(values, "stableRevision", '""')
    if mode == DEPLOYMENT:
        _refuse_cookie(affinity, "programs keep none, so that a client is known by its address")
        return None
    _refuse_cookie(
        affinity,
        "Knative sends each request to a worker that is free, and keeps nobody at one; a job and "
        "its pictures are at the front, where every request finds them",
    )
    exposed = required(values, "exposeModelServer", '"false"')
    if exposed != "false":
        raise SettingsError(
            "exposeModelServer",
            "must be false with mode knative: a pod of Knative has one port, the web service's",
            '"false"',
        )
    if stable and not _REVISION.fullmatch(stable):
        raise SettingsError(
            "stableRevision",
            f"must be empty or the name of a revision, such as {WORKERS}-0123456789abcdef-01234567 "
            f"(`pulumi stack output revision` shows the newest one's), not {stable!r}",
            '""',
        )
    if percent != _ALL and not stable:
        raise SettingsError(
            "canaryPercent",
            f"{percent} leaves requests for an earlier revision: name it in stableRevision "
            "(`pulumi stack output revision` shows it before a change)",
            str(_ALL),
        )
    return KnativeSettings(percent, stable)


def _refuse_cookie(affinity: str, reason: str) -> None:
    if affinity == "cookie":
        raise SettingsError("sessionAffinity", f"cookie is not possible: {reason}", "client")
