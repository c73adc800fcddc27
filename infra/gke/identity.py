"""Google Cloud identities of nodes and pods, with least privilege."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import projects, serviceaccount, storage

from infra.settings.gke import READER_ROLE

NODE_ROLE = "roles/container.defaultNodeServiceAccount"
"""The role that GKE's agents on a node need: only logs and metrics."""


@dataclass(frozen=True)
class NodeIdentityArgs:
    """project: the project's ID."""

    project: str
    after: Sequence[pulumi.Resource]


class NodeIdentity(pulumi.ComponentResource):
    """The nodes' service account. Pods do not use it: they have workload identity."""

    email: pulumi.Output[str]

    def __init__(
        self, name: str, args: NodeIdentityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:NodeIdentity", name, {}, opts)
        account = serviceaccount.Account(
            name,
            display_name="Nodes of diffusion-serving",
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        projects.IAMMember(
            name,
            project=args.project,
            role=NODE_ROLE,
            member=account.member,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.email = account.email
        self.register_outputs({"email": self.email})


@dataclass(frozen=True)
class ModelReaderArgs:
    """Which Kubernetes service account may read which bucket.

    after: among others the cluster, which creates the project's workload identity pool.
    """

    project: str
    project_number: pulumi.Output[int]
    bucket: pulumi.Input[str]
    namespace: str
    service_account: str
    after: Sequence[pulumi.Resource]


class ModelReader(pulumi.ComponentResource):
    """Read access to one bucket for the pods of one Kubernetes service account."""

    member: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelReaderArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:ModelReader", name, {}, opts)
        self.member = args.project_number.apply(
            lambda number: principal(number, args.project, args.namespace, args.service_account)
        )
        storage.BucketIAMMember(
            name,
            bucket=args.bucket,
            role=READER_ROLE,
            member=self.member,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        self.register_outputs({"member": self.member})


def principal(number: int, project: str, namespace: str, service_account: str) -> str:
    """The IAM principal of a Kubernetes service account; it has the project's number and ID."""
    return (
        f"principal://iam.googleapis.com/projects/{number}/locations/global/"
        f"workloadIdentityPools/{project}.svc.id.goog/subject/ns/{namespace}/sa/{service_account}"
    )
