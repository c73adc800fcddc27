"""What a stack's state tells of its last update: how far it came, what failed, what was cut off."""

from __future__ import annotations

from collections.abc import Iterator

from client.doctor.finding import Finding, State
from client.stacks.discovery import make_command
from client.stacks.state import (
    BUCKET,
    CLUSTER,
    DEPLOYMENT,
    MODEL_EXPORT,
    NODE_POOL,
    SERVICE,
    Resource,
    StackState,
    Unfinished,
)

_PARTS = {
    CLUSTER: "cluster",
    NODE_POOL: "node pool",
    BUCKET: "bucket",
    MODEL_EXPORT: "model",
    DEPLOYMENT: "Deployment",
    SERVICE: "Service",
}
"""What an `up` on GKE makes, about in this order."""
LISTED_BY = {
    CLUSTER: "container clusters list",
    BUCKET: "storage buckets list",
    "gcp:compute/network:Network": "compute networks list",
    "gcp:compute/subnetwork:Subnetwork": "compute networks subnets list",
    "gcp:compute/router:Router": "compute routers list",
    "gcp:compute/address:Address": "compute addresses list",
}
"""`gcloud`'s command that finds the resources of a type by name."""


def last_update_findings(
    state: StackState, stack: str, project: str, *, has_outputs: bool
) -> Iterator[Finding]:
    """project: the ID of the Google Cloud project; empty if it is unknown."""
    if not has_outputs:
        yield _unfinished_up(state, make_command("up", stack))
    for resource in state.resources:
        if resource.errors and not resource.to_delete:
            message = f"{resource.title} did not get ready: {'; '.join(resource.errors)}"
            yield Finding("stack", State.WRONG, message)
    interrupted = [interrupted_finding(one, state, stack, project) for one in state.unfinished]
    yield from interrupted
    if any(one.operation == "creating" for one in state.unfinished):
        message = forget_advice(stack)
        matters = any(finding.state is not State.OK for finding in interrupted)
        yield Finding("stack", State.WAIT if matters else State.OK, message)


def _unfinished_up(state: StackState, make_up: str) -> Finding:
    """Where the first `up` stopped. Outputs are stored when all resources exist."""
    missing = [name for type_, name in _PARTS.items() if not state.of_type(type_)]
    last = max(state.resources, key=lambda resource: resource.created, default=None)
    made = "nothing exists yet" if last is None else f"the last thing made is {_dated(last)}"
    lacks = f", and there is no {', no '.join(missing)}" if missing else ""
    return Finding(
        "stack",
        State.WRONG,
        f"`{make_up}` has not finished: {made}{lacks}; run it again after what is wrong below",
    )


def _dated(resource: Resource) -> str:
    minute = resource.created[:16].replace("T", " ")
    return f"{resource.title}, at {minute} UTC" if minute else resource.title


def forget_advice(stack: str) -> str:
    """What to do once nothing is left of the unfinished creations."""
    command = f"pulumi refresh --clear-pending-creates --yes --non-interactive --stack {stack}"
    return f"forget the unfinished creations, when nothing is left of them, with `{command}`"


def interrupted_finding(one: Unfinished, state: StackState, stack: str, project: str) -> Finding:
    """What an operation that was cut off, or still runs, may have left outside the state."""
    resource, make_up = one.resource, f"`{make_command('up', stack)}`"
    begun = f"{one.operation} {resource.title} has no recorded end"
    if one.operation != "creating":
        message = f"{begun}: if no update is running, {make_up} looks at what is there"
        return Finding("stack", State.WAIT, message)
    if not resource.type.startswith("gcp:"):
        if state.has(resource.urn):
            return Finding("stack", State.OK, f"{begun}, but a later update has made it")
        message = f"{begun}: if no update is running, {make_up} takes over what exists of it"
        return Finding("stack", State.WAIT, message)
    return Finding(
        "stack",
        State.WRONG,
        f"{begun}: if no update is running, it may exist in Google Cloud and not in the state, "
        f"so that nothing deletes it: {_look(resource, project)}, and delete it if it is there",
    )


def _look(resource: Resource, project: str) -> str:
    listing, name = LISTED_BY.get(resource.type), resource.real_name
    if listing is None or not name:
        return "look for it in the Google Cloud console"
    in_project = f" --project {project}" if project else ""
    return f"look for it with `gcloud {listing} --filter=name={name}{in_project}`"
