"""`KeptModel`: a claim on a published model that an earlier revision of the service still needs.

The stack's own `ModelExport` has moved on to another model, and gives up this one. As long as the
claim stands the model does too; whoever gives up the last claim deletes it.

The stack's state names the provider by this module and class: do not move or rename either.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import CheckResult, Resource

from model_export.resource import ModelExportProvider


class KeptModel(Resource, module="diffusion", name="KeptModel"):
    """The model under `destination`/`fingerprint`, which must be there."""

    def __init__(
        self,
        name: str,
        *,
        destination: pulumi.Input[str],
        fingerprint: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "destination": destination,
            "fingerprint": fingerprint,
            "owner": f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}",
            "manifestSha256": None,
            "claim": None,
        }
        super().__init__(KeptModelProvider(), name, inputs, opts)


class KeptModelProvider(ModelExportProvider):
    """Claims and gives up like the model's own resource, but never makes it."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return CheckResult(news, [])

    def make(self, props: dict[str, Any], claim: str) -> None:
        raise RuntimeError(
            f"the model {props['fingerprint']} of stableRevision is not in {props['destination']}: "
            "no revision can serve it; set stableRevision to another one, or to nothing"
        )
