"""`Rollout`: a Deployment's new pods serve, as a Pulumi resource.

The Kubernetes provider's own wait sees that pods crash, and waits on for an hour. This one gives up
as soon as the pods' own state says that they cannot succeed.

The stack's state names the provider by this module and class: do not move or rename either.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pulumi
from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from console import provider_process, say

_IDENTITY = ("namespace", "deployment", "uid", "revision")


@dataclass(frozen=True)
class RolloutArgs:
    """uid: the Deployment's; another one is another Deployment of the same name.

    revision: changes with the pod template, see `revision_of`; deadline_seconds: of the wait.
    """

    kubeconfig: pulumi.Input[str]
    namespace: pulumi.Input[str]
    deployment: pulumi.Input[str]
    uid: pulumi.Input[str]
    revision: pulumi.Input[str]
    deadline_seconds: int


class Rollout(Resource, module="diffusion", name="Rollout"):
    """What needs serving pods depends on it."""

    def __init__(
        self, name: str, args: RolloutArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        inputs = {
            "kubeconfig": args.kubeconfig,
            "namespace": args.namespace,
            "deployment": args.deployment,
            "uid": args.uid,
            "revision": args.revision,
            "deadlineSeconds": args.deadline_seconds,
            "stack": pulumi.get_stack(),
        }
        super().__init__(RolloutProvider(), name, inputs, opts)


class RolloutProvider(ResourceProvider):
    """Waits where the pod template changed. Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        provider_process.adapt()

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        # The rollout before is forgotten first: whatever ends the wait, even a kill, the next
        # update waits again, also if the setting is restored.
        changed = [key for key in _IDENTITY if _olds.get(key) != _news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed, delete_before_replace=True)

    def create(self, props: dict[str, Any]) -> CreateResult:
        from serving.workloads.rollout_wait import RolloutError, RolloutWait, wait_until_served

        wait = RolloutWait(
            kubeconfig=str(props["kubeconfig"]),
            namespace=str(props["namespace"]),
            deployment=str(props["deployment"]),
            deadline_seconds=int(props["deadlineSeconds"]),
            stack=str(props["stack"]),
        )
        try:
            wait_until_served(wait, say, provider_process.cancelled)
        except RolloutError as error:
            raise RuntimeError(str(error)) from None
        return CreateResult(
            f"{wait.namespace}/{wait.deployment}", {key: props[key] for key in _IDENTITY}
        )

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult({key: _news[key] for key in _IDENTITY})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Only the stack's knowledge: the pods belong to the Deployment."""


def revision_of(template: pulumi.Input[Any]) -> pulumi.Output[str]:
    """A hash of a pod template as the program writes it.

    Not the Deployment's generation, which the autoscaler raises too, nor what the API server makes
    of the template, which changes with its version: neither is a rollout.
    """
    return pulumi.Output.from_input(template).apply(_hash)


def _hash(template: object) -> str:
    # The SDK's argument classes are plain objects.
    text = json.dumps(template, sort_keys=True, default=vars)
    return sha256(text.encode()).hexdigest()[:16]
