"""The Knative Service of the workers: its revisions, and which of them gets how many requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.settings.knative import WORKERS, KnativeSettings
from infra.settings.time_budget import TimeBudget
from serving.names import WORKER_LABELS
from serving.workloads.rollout import revision_of

IDLE_SECONDS = 600
"""How long the last worker stays without requests: waking another one takes minutes."""
_AUTOSCALING = "autoscaling.knative.dev"
_DIGITS = 8


@dataclass(frozen=True)
class Scale:
    """How many workers there are, from none on."""

    least: int
    most: int


def template(
    pod: Mapping[str, pulumi.Input[object]],
    annotations: Mapping[str, str],
    scale: Scale,
    budget: TimeBudget,
    progress_seconds: pulumi.Input[int],
) -> dict[str, Any]:
    """A revision's template without its name: a pod that gets one request at a time.

    progress_seconds: the time for a first pod to serve.
    """
    progress = pulumi.Output.format("{0}s", progress_seconds)
    return {
        "metadata": {
            "labels": WORKER_LABELS,
            "annotations": {
                f"{_AUTOSCALING}/metric": "concurrency",
                f"{_AUTOSCALING}/target-utilization-percentage": "100",
                f"{_AUTOSCALING}/min-scale": str(scale.least),
                f"{_AUTOSCALING}/max-scale": str(scale.most),
                f"{_AUTOSCALING}/scale-to-zero-pod-retention-period": f"{IDLE_SECONDS}s",
                "serving.knative.dev/progress-deadline": progress,
                **annotations,
            },
        },
        "spec": {
            "containerConcurrency": 1,
            "timeoutSeconds": budget.revision,
            # Without progress in its answer, a picture is the first byte.
            "responseStartTimeoutSeconds": budget.revision,
            **pod,
        },
    }


def revision_name(
    revision_template: Mapping[str, Any], fingerprint: pulumi.Input[str]
) -> pulumi.Output[str]:
    """The same for the same template, so that restored settings are the earlier revision again.

    fingerprint: the model's, which says what an earlier revision needs.
    """
    digest = revision_of(revision_template).apply(lambda found: found[:_DIGITS])
    return pulumi.Output.format("{0}-{1}-{2}", WORKERS, fingerprint, digest)


def traffic(settings: KnativeSettings, newest: str) -> list[dict[str, object]]:
    """Who gets the requests. newest: the newest revision's name."""
    stable = settings.stable_revision
    if stable in ("", newest):
        return [{"latestRevision": True, "percent": 100}]
    return [
        {"latestRevision": True, "percent": settings.canary_percent},
        {"revisionName": stable, "latestRevision": False, "percent": 100 - settings.canary_percent},
    ]
