"""`Placement`: where the stack's cluster stands, remembered, so that a changed setting is refused.

A cluster cannot move to another project or location: it would be replaced together with everything
in it, whose resources cannot be deleted through an API server that is gone. The project's APIs, for
which everything waits, take the project from here, so that a refusal comes before anything is
touched.

The stack's state names the provider by this module and class: do not move or rename either.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

CLUSTER_TYPE = "gcp:container/cluster:Cluster"
_EXPORT_SECONDS = 120


class Placement(Resource, module="diffusion", name="Placement"):
    """The project and location of the stack's cluster, as long as it has one."""

    recorded: pulumi.Output[str]
    """PROJECT/LOCATION of the cluster: earlier settings, if they have been changed since."""
    project: pulumi.Output[str]
    """The setting. Ends the program if the cluster stands elsewhere."""
    location: pulumi.Output[str]
    region: pulumi.Output[str]
    """The same for the location and its region."""

    def __init__(
        self,
        name: str,
        project: str,
        location: str,
        region: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """project: Google's, not Pulumi's; location: a zone, or the region itself."""
        place, stack_name = f"{project}/{location}", pulumi.get_stack()
        stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack_name}"
        super().__init__(PlacementProvider(), name, {"recorded": place, "stack": stack}, opts)
        same = self.recorded.apply(lambda recorded: require_same(recorded, place, stack_name))
        self.project = same.apply(lambda _: project)
        self.location = same.apply(lambda _: location)
        self.region = same.apply(lambda _: region)


class PlacementProvider(ResourceProvider):
    """Keeps the place of its creation. Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        # "No changes" keeps the recorded place, which the program compares with the settings. A
        # refusal by `check` would be shown below a traceback of the interrupted program.
        moves = _olds["recorded"] != _news["recorded"]
        return DiffResult(changes=moves and not _has_cluster(str(_news["stack"])))

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult("placement", dict(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(dict(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Only a record."""


def require_same(recorded: str, place: str, stack: str) -> str:
    """The place. Raises RunError, shown as one line, if the cluster stands elsewhere."""
    if recorded == place:
        return place
    raise pulumi.RunError(
        f"gcp:project or location cannot be changed, from {recorded} to {place}, while the stack "
        f"is up: set it back, or run `make down STACK={stack}` and then `make up STACK={stack}`"
    )


def cluster_in(export: str) -> bool:
    """Whether an exported state has a cluster, or one that may have been made unseen."""
    deployment: dict[str, list[dict[str, Any]]] = json.loads(export)["deployment"]
    pending = [one["resource"] for one in deployment.get("pending_operations") or []]
    resources = deployment.get("resources") or []
    return any(one["type"] == CLUSTER_TYPE for one in (*resources, *pending))


def _has_cluster(stack: str) -> bool:
    """Whether the stack has a cluster. After a failed first update it may have none.

    Asked only when the setting has changed. Where the state cannot be read, it may have one.
    """
    command = ["pulumi", "stack", "export", "--stack", stack, "--non-interactive"]
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_EXPORT_SECONDS,
            check=True,
        )
        return cluster_in(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return True
