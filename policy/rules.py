"""Rules for the resources that a program registers, as plain functions.

Each takes resources as the engine sees them (type token, inputs in camel case) and returns the
violations, a line each. The docstrings are the policies' descriptions.
"""

from __future__ import annotations

from collections.abc import Sequence

from policy.access import buckets_are_private, no_open_ranges, only_load_balancers_are_exposed
from policy.gateways import public_gateways_are_guarded
from policy.pods import (
    names_of_the_api,
    no_floating_images,
    no_token_by_default,
    pods_are_locked_down,
    pods_keep_off_the_node,
    requests_and_limits,
    secrets_are_files,
)
from policy.resource import Resource, Rule, mapping

_PROTECTED = (
    "gcp:container/cluster:Cluster",
    "gcp:storage/bucket:Bucket",
    "kubernetes:core/v1:Namespace",
)


def no_replicas_beside_an_autoscaler(resources: Sequence[Resource]) -> list[str]:
    """A workload with an autoscaler does not set replicas."""
    targets = {
        (str(target.get("kind", "Deployment")), str(target["name"]))
        for one in resources
        if one.is_kubernetes and "name" in (target := mapping(one.inputs, "spec", "scaleTargetRef"))
    }
    return [
        f"{one}: sets replicas, which its autoscaler owns"
        for one in resources
        if "replicas" in mapping(one.inputs, "spec") and (one.kind, one.object_name) in targets
    ]


def protected(resources: Sequence[Resource]) -> list[str]:
    """Cluster, bucket and namespace are protected from deletion, in production stacks."""
    found: list[str] = []
    for one in resources:
        if one.type in _PROTECTED:
            if not one.protect:
                found.append(f"{one}: is not protected")
            if one.kind == "Cluster" and one.inputs.get("deletionProtection") is not True:
                found.append(f"{one}: has no deletion protection")
            if one.kind == "Bucket" and one.inputs.get("forceDestroy"):
                found.append(f"{one}: forceDestroy deletes all its objects")
    return found


EVERYWHERE: tuple[Rule, ...] = (
    no_open_ranges,
    only_load_balancers_are_exposed,
    public_gateways_are_guarded,
    no_floating_images,
    requests_and_limits,
    no_replicas_beside_an_autoscaler,
    buckets_are_private,
    pods_are_locked_down,
    pods_keep_off_the_node,
    no_token_by_default,
    secrets_are_files,
    names_of_the_api,
)
"""Rules for every stack; `protected` is for production stacks."""


def violations(resources: Sequence[Resource], *, must_be_protected: bool) -> list[str]:
    """The violations of all rules, each line with its rule's name."""
    rules = (*EVERYWHERE, protected) if must_be_protected else EVERYWHERE
    return [f"{rule.__name__}: {line}" for rule in rules for line in rule(resources)]
