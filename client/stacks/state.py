"""What a stack's state holds: which resources exist, which failed, and what was interrupted.

`pulumi stack export` tells it of every stack that exists, also of one whose first `up` failed and
stored no outputs. Secrets in it stay encrypted, and nothing here reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.errors import StackOutputError
from client.stacks.discovery import PROJECT_ROOT, make_command
from client.stacks.engine import ask_engine, engine_command
from client.stacks.tools import at, list_at, text_at
from prediction.errors import one_line

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
BUCKET = "gcp:storage/bucket:Bucket"
MODEL_EXPORT = "pulumi-python:dynamic/diffusion:ModelExport"
LOCAL_SERVER = "pulumi-python:dynamic/diffusion:LocalModelServer"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "kubernetes:core/v1:Secret"
SERVICE = "kubernetes:core/v1:Service"
KNATIVE_SERVING = "kubernetes:operator.knative.dev/v1beta1:KnativeServing"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
GLOBAL_ADDRESS = "gcp:compute/globalAddress:GlobalAddress"
CERTIFICATE = "gcp:compute/managedSslCertificate:ManagedSslCertificate"
_STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class Resource:
    """A resource as the state records it.

    errors: why it did not get ready, of one that was created. created: in UTC, as "…T10:42:07Z".
    to_delete: its replacement exists, and the next `up` deletes it.
    """

    urn: str
    type: str
    inputs: object
    outputs: object
    errors: tuple[str, ...]
    created: str
    to_delete: bool

    @property
    def title(self) -> str:
        """Its kind and name: those that a cloud or cluster knows it by, if it has them."""
        kind, name = self.type.rpartition(":")[2], self.urn.rpartition("::")[2]
        return f"{kind} {self.real_name or name}"

    @property
    def real_name(self) -> str:
        """Its name in the cloud or cluster; empty if the state does not tell."""
        paths = (("metadata", "name"), ("name",))
        found = [text_at(side, *path) for side in (self.outputs, self.inputs) for path in paths]
        return next(filter(None, found), "")


@dataclass(frozen=True)
class Unfinished:
    """An operation that began and whose end was not recorded. operation: such as "creating"."""

    operation: str
    resource: Resource


@dataclass(frozen=True)
class StackState:
    """The custom resources in a stack's state, in the order in which they were recorded.

    has_outputs: whether an `up` has finished.
    """

    resources: tuple[Resource, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    has_outputs: bool = False

    def of_type(self, type_: str) -> Sequence[Resource]:
        """Those of a type: what `up` keeps, then what it will delete."""
        found = [resource for resource in self.resources if resource.type == type_]
        return sorted(found, key=lambda resource: resource.to_delete)

    @property
    def orphans(self) -> Sequence[Unfinished]:
        """Creations in Google Cloud that were cut off: what they made may be in no state."""
        return [
            one
            for one in self.unfinished
            if one.operation == "creating" and one.resource.type.startswith("gcp:")
        ]

    @property
    def is_empty(self) -> bool:
        return not self.resources and not self.unfinished

    def has(self, urn: str) -> bool:
        return any(resource.urn == urn for resource in self.resources)

    @property
    def project(self) -> str:
        """The ID of the Google Cloud project; empty if nothing there exists yet."""
        found = (
            text_at(side, "project")
            for resource in self.resources
            if resource.type.startswith("gcp:")
            for side in (resource.outputs, resource.inputs)
        )
        return next(filter(None, found), "")


def read_state(stack: str, root: Path = PROJECT_ROOT, remedy: str = "") -> StackState:
    """The state of `stack`. Raises StackOutputError, whose message says what to do."""
    if engine_command() != ["pulumi"]:
        raise StackOutputError(
            f"the state of stack {stack} needs the Pulumi CLI: install it from "
            "https://www.pulumi.com/docs/install/, and type `unset ENGINE`"
        )
    remedy = remedy or f"deploy it with `{make_command('up', stack)}`"
    document = ask_engine(stack, root, "export", what="state", remedy=remedy)
    entries = list_at(document, "deployment", "resources")
    pending = list_at(document, "deployment", "pending_operations")
    return StackState(
        tuple(_resource(entry) for entry in entries if _is_made(entry)),
        tuple(
            Unfinished(text_at(operation, "type"), _resource(at(operation, "resource")))
            for operation in pending
        ),
        any(at(one, "type") == _STACK and bool(at(one, "outputs")) for one in entries),
    )


def _is_made(entry: object) -> bool:
    """Whether it stands for something outside the state: no component and no provider."""
    return at(entry, "custom") is True and not text_at(entry, "type").startswith("pulumi:")


def _resource(entry: object) -> Resource:
    return Resource(
        urn=text_at(entry, "urn"),
        type=text_at(entry, "type"),
        inputs=at(entry, "inputs"),
        outputs=at(entry, "outputs"),
        errors=tuple(
            one_line(error) for error in list_at(entry, "initErrors") if isinstance(error, str)
        ),
        created=text_at(entry, "created"),
        to_delete=at(entry, "delete") is True,
    )
