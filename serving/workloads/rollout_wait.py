"""Waits until a Deployment's new pods serve, or until they cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from serving.kubernetes_api.client import ApiError, KubernetesApi, TransientApiError
from serving.kubernetes_api.kubeconfig import CredentialError, Kubeconfig
from serving.workloads.rollout_state import RolloutState, rollout_state
from serving.workloads.rollout_verdict import TroubleKey, remember, verdict

POLL_SECONDS = 5.0
_OUTAGE_SECONDS = 600
"""A zonal cluster's API server is away for minutes while GKE resizes or upgrades it."""


class RolloutError(Exception):
    """The new pods do not serve. One line, with what to do."""


@dataclass(frozen=True)
class RolloutWait:
    """What to wait for. stack: for the commands in messages."""

    kubeconfig: str
    namespace: str
    deployment: str
    deadline_seconds: int
    stack: str


def wait_until_served(
    wait: RolloutWait,
    say: Callable[[str], None],
    cancelled: threading.Event,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Says one line for each change. Raises RolloutError."""
    started = time.monotonic()
    answered = started
    began: datetime | None = None
    first_seen: dict[TroubleKey, datetime] = {}
    shown = ""
    with KubernetesApi(Kubeconfig.parse(wait.kubeconfig)) as api:
        while True:
            passed = time.monotonic() - started
            try:
                state = _look(api, wait)
                answered = time.monotonic()
                began = began or state.now
                first_seen = remember(state, first_seen)
                judged = verdict(state, first_seen, began)
                progress = judged.progress
                if judged.failure:
                    raise RolloutError(_failure(judged.failure, state, wait))
                if not judged.done and passed > wait.deadline_seconds:
                    late = f"after {duration(passed)}, {progress}"
                    raise RolloutError(_failure(late, state, wait))
            except TransientApiError as error:
                judged, progress = None, str(error)
                outage = time.monotonic() - answered
                if outage > _OUTAGE_SECONDS or passed > wait.deadline_seconds:
                    raise RolloutError(f"{error}; {_diagnose(wait)}") from None
            except (ApiError, CredentialError) as error:
                raise RolloutError(f"{error}; {_diagnose(wait)}") from None
            if progress != shown:
                say(f"{progress} ({duration(passed)})")
                shown = progress
            if judged is not None and judged.done:
                return
            if cancelled.wait(poll_seconds):
                again = f"`make up STACK={wait.stack}` waits for them"
                raise RolloutError(f"interrupted: the new pods go on starting, and {again}")


def duration(seconds: float) -> str:
    """Such as `40 s` or `3 min`."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _look(api: KubernetesApi, wait: RolloutWait) -> RolloutState:
    apps = f"/apis/apps/v1/namespaces/{wait.namespace}"
    core = f"/api/v1/namespaces/{wait.namespace}"
    deployment = api.get(f"{apps}/deployments/{wait.deployment}")
    if deployment is None or "deletionTimestamp" in deployment["metadata"]:
        again = f"run `make up STACK={wait.stack}` again"
        raise RolloutError(f"the Deployment {wait.deployment} was deleted meanwhile: {again}")
    labels = deployment["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return rollout_state(
        deployment,
        replica_sets=api.list(f"{apps}/replicasets", labelSelector=selector),
        pods=api.list(f"{core}/pods", labelSelector=selector),
        events=api.list(f"{core}/events", fieldSelector="involvedObject.kind=Pod"),
        now=api.now,
    )


def _failure(reason: str, state: RolloutState, wait: RolloutWait) -> str:
    if state.is_first:
        return f"the pods do not serve: {reason}; {_diagnose(wait)}"
    old = {0: "no old pod serves", 1: "1 old pod still serves"}.get(
        state.old_serving, f"{state.old_serving} old pods still serve"
    )
    return (
        f"the new pods do not serve: {reason}; {old}, and nothing was rolled back: "
        f"{_diagnose(wait)}, or restore the setting and run `make up STACK={wait.stack}`"
    )


def _diagnose(wait: RolloutWait) -> str:
    return f"run `make doctor STACK={wait.stack}`"
