"""Retries what Google refuses only because of what was asked of it a moment ago.

Google says to wait a few minutes until an enabled API answers everywhere; the service accounts that
come with it, and those that a program makes, are also unknown at first.
"""

from __future__ import annotations

import asyncio
import re
import time

import pulumi
from pulumi.runtime.proto.resource_pb2 import RESOURCE_MONITOR_FEATURE_ERROR_HOOKS
from pulumi.runtime.settings import monitor_supports_feature

from infra.gke.apis import APIS

PATIENCE_SECONDS = 600.0
PAUSE_SECONDS = 10.0
"""The engine allows 100 retries."""

_API_IS_OFF = re.compile(
    r"has not been used in project|is not enabled for this project|SERVICE_DISABLED"
    r"|should enable service:"
)
_API = re.compile(r"(?:apis/api/|service:|\"service\": ?\")([a-z-]+\.googleapis\.com)")
_ANY_API = re.compile(r"[a-z-]+\.googleapis\.com")
_USERS_NEED_A_QUOTA_PROJECT = re.compile(r"requires a quota project|project(s/| )764086051850\b")
"""The number is gcloud's own project, in which nobody else can enable an API."""
_NO_ACCOUNT = re.compile(
    r"Service account \"?(\S+@\S+?\.iam\.gserviceaccount\.com)\"? does not exist"
)
_OTHER_NAMES = {"storage-api": "storage", "storage-component": "storage"}
_STATES = {
    "Identity Pool does not exist": "the project's workload identity pool",
    "is not fully initialized with the default service accounts": "the project's service accounts",
}
_AGENT = "container-engine-robot"
_OLD_CERTIFICATE = re.compile(r"'[^']*/sslCertificates/[^']*' is already being used by")
"""The cluster's controller tells the load balancer of another one a moment later."""


def awaited(error: str) -> str | None:
    """What a refused request has to wait for, or None if waiting would not help."""
    # What Google began to create exists, and would be refused as a duplicate.
    if "Error waiting" in error or _USERS_NEED_A_QUOTA_PROJECT.search(error):
        return None
    if _API_IS_OFF.search(error):
        named = (_known_as(api) for api in _API.findall(error) or _ANY_API.findall(error))
        return next((f"the API {api}" for api in named if api in APIS), None)
    if account := _NO_ACCOUNT.search(error):
        return f"the service account {account[1]}"
    if _AGENT in error and "permission" in error.lower():
        return "the permissions of GKE's own service account"
    if _OLD_CERTIFICATE.search(error):
        return "the load balancer, which still uses its old certificate"
    return next((state for text, state in _STATES.items() if text in error), None)


def _known_as(api: str) -> str:
    name, _, domain = api.partition(".")
    return f"{_OTHER_NAMES.get(name, name)}.{domain}"


def error_hook(name: str, patience_seconds: float, pause_seconds: float) -> pulumi.ErrorHook:
    """A hook for failed resources, with which the engine tries again as long as that may help."""
    since: dict[tuple[str, str], float] = {}

    async def try_again(args: pulumi.ErrorHookArgs) -> bool:
        reason = awaited(args.errors[0])
        if reason is None:
            return False
        step = (args.urn, args.failed_operation)
        if step not in since:
            since[step] = time.monotonic()
            pulumi.log.info(
                f"{args.name} waits for {reason}: Google may need some minutes, and gets "
                f"{patience_seconds / 60:.0f}"
            )
        elif time.monotonic() - since[step] > patience_seconds:
            return False
        await asyncio.sleep(pause_seconds)
        return True

    return pulumi.ErrorHook(name, try_again)


def patient() -> list[pulumi.ResourceTransformation]:
    """For a component's option `transformations`: all Google Cloud resources below it wait.

    Without it on a CLI that knows no such hooks, where the next `up` goes on.
    """
    if not monitor_supports_feature(RESOURCE_MONITOR_FEATURE_ERROR_HOOKS):
        return []
    hook = error_hook("wait-for-google", PATIENCE_SECONDS, PAUSE_SECONDS)
    hooks = pulumi.ResourceHookBinding(on_error=[hook])

    def with_hooks(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("gcp:"):
            return None
        opts = pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(hooks=hooks))
        return pulumi.ResourceTransformationResult(args.props, opts)

    return [with_hooks]
