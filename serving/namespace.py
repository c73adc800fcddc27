"""The namespace of the service, and the service account of its pods."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta

from serving.timing import delete_timeout_seconds


@dataclass(frozen=True)
class NamespaceArgs:
    """Both names are fixed, since IAM refers to them."""

    namespace: str
    service_account: str
    protected: bool
    request_timeout_seconds: int


class Namespace(pulumi.ComponentResource):
    """A namespace that enforces the baseline pod security standard."""

    name: pulumi.Output[str]
    service_account: pulumi.Output[str]

    def __init__(
        self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Namespace", name, {}, opts)
        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=args.namespace,
                labels={
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protected,
                # Deleting it waits for the last pod, which may still be drawing.
                custom_timeouts=pulumi.CustomTimeouts(
                    delete=f"{delete_timeout_seconds(args.request_timeout_seconds)}s"
                ),
            ),
        )
        account = core.v1.ServiceAccount(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=args.service_account, namespace=namespace.metadata.name
            ),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.name = namespace.metadata.name
        self.service_account = account.metadata.name
        self.register_outputs({"name": self.name})
