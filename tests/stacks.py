"""Committed stacks, each run once, and queries on their resource graphs."""

from __future__ import annotations

import functools
import re
from typing import Any

from render.recorder import ROOT, Registered, Run, run_program, stack_config

# The committed ones: git ignores those of the people who work here.
STACKS = sorted(re.findall(r"^!Pulumi\.(.+)\.yaml$", (ROOT / ".gitignore").read_text(), re.M))
CLUSTER_STACKS = [s for s in STACKS if stack_config(s)["diffusion-serving:target"] == "gke"]
KNATIVE_STACKS = [
    s for s in CLUSTER_STACKS if stack_config(s)["diffusion-serving:mode"] == "knative"
]
GKE_STACKS = [s for s in CLUSTER_STACKS if s not in KNATIVE_STACKS]
# Of an empty list pytest skips the tests.
assert {"local", "dev", "prod"} <= set(STACKS) and {"dev", "prod"} <= set(GKE_STACKS)
assert KNATIVE_STACKS


@functools.cache
def run_of(stack: str, **changes: str) -> Run:
    """The run of a stack's program, with some settings changed."""
    return run_program(stack, outputs=None, fill_in=True, **changes)


def needs(run: Run, resource: Registered) -> set[str]:
    """The URNs of all direct and indirect dependencies of `resource`."""
    by_urn = {r.urn: r for r in run.resources}
    found: set[str] = set()
    left = [resource]
    while left:
        one = left.pop()
        direct = {*one.dependencies, one.parent, one.provider.rpartition("::")[0]}
        for urns in one.property_dependencies.values():
            direct.update(urns)
        for urn in direct - found:
            found.add(urn)
            if urn in by_urn:
                left.append(by_urn[urn])
    return found


def goes_before(run: Run, first: str | Registered, then: str | Registered) -> bool:
    """Whether a destroy deletes `first` before `then`: whether `first` depends on it."""
    one = run.one(first) if isinstance(first, str) else first
    other = run.one(then) if isinstance(then, str) else then
    return other.urn in needs(run, one)


def kubernetes_objects(run: Run) -> list[Registered]:
    found = [r for r in run.resources if r.type.startswith("kubernetes:")]
    assert found
    return found


def pod_spec(run: Run) -> dict[str, Any]:
    return run.one("Deployment").inputs["spec"]["template"]["spec"]


def container(run: Run, name: str = "model-server") -> dict[str, Any]:
    (found,) = (one for one in pod_spec(run)["containers"] if one["name"] == name)
    return found


def service(run: Run, name: str = "model-server") -> Registered:
    """The Kubernetes Service of that name."""
    (found,) = (
        one
        for one in run.of("kubernetes:core/v1:Service")
        if one.inputs["metadata"]["name"] == name
    )
    return found


def server_flags(run: Run) -> dict[str, str]:
    pairs = (flag.removeprefix("--").partition("=") for flag in container(run)["args"])
    return {name: value for name, _, value in pairs}
