"""What the stack `knative` registers, and the parts of its Knative Service."""

from __future__ import annotations

from typing import Any

from infra.settings.knative import WORKERS
from render.recorder import Registered, Run

SERVICE = "kubernetes:serving.knative.dev/v1:Service"
SERVING = "kubernetes:operator.knative.dev/v1beta1:KnativeServing"


def workers(run: Run) -> Registered:
    return run.one(SERVICE, WORKERS)


def template(run: Run) -> dict[str, Any]:
    return workers(run).inputs["spec"]["template"]


def container(run: Run, name: str = "web") -> dict[str, Any]:
    (found,) = (one for one in template(run)["spec"]["containers"] if one["name"] == name)
    return found


def front(run: Run) -> dict[str, Any]:
    """The pod of the front."""
    return run.one("Deployment").inputs["spec"]["template"]["spec"]


def secret(run: Run, name: str) -> Registered:
    (found,) = (one for one in run.of("Secret") if one.inputs["metadata"]["name"] == name)
    return found


def policy(run: Run, name: str) -> dict[str, Any]:
    (found,) = (one for one in run.of("NetworkPolicy") if one.inputs["metadata"]["name"] == name)
    return found.inputs["spec"]
