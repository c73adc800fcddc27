"""The table of what somebody is told about, and what to do then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dashboards.metrics import MODES, Mode

Severity = Literal["CRITICAL", "ERROR", "WARNING"]

BUDGET = "$budget"
"""Stands for the seconds within which 95 % of the jobs are to be done."""


@dataclass(frozen=True)
class Alert:
    """expression: its series are the alert. seconds: how long it must hold. runbook: what to do.

    only_on_spot: whether it is about spot VMs alone.
    """

    name: str
    title: str
    expression: str
    seconds: int
    severity: Severity
    runbook: str
    modes: tuple[Mode, ...] = MODES
    only_on_spot: bool = False


_FAILED = 'outcome=~"upstream_error|timeout"'
_COUNTED = 'outcome=~"ok|upstream_error|timeout"'
_ONE_UNREADY = "count(web_model_server_ready == 0) > 0"
_QUEUED = "sum(web_queued_jobs)"
_START_RUNBOOK = (
    "`make doctor`: it reads the logs of `wait-for-model` and of the model server, and says "
    "whether the model is missing, cannot be read or does not fit."
)
_POD_RUNBOOK = (
    "`make doctor`: the pod's events say whether a node is missing (quota, or no spot VMs to be "
    "had: `spot: false`, another `location`) or the pod does not start."
)

ALERTS = (
    Alert(
        "JobsFail",
        "more than 5 % of the jobs fail",
        f"sum(increase(web_jobs_total{{{_FAILED}}}[15m]))"
        f" / (sum(increase(web_jobs_total{{{_COUNTED}}}[15m])) > 0) > 0.05",
        300,
        "ERROR",
        "`make doctor`, then the model servers' logs; many timeouts without errors mean too few "
        "pods: raise `maxReplicas` and `maxNodes`, or `requestTimeoutSeconds`.",
    ),
    Alert(
        "RequestsFail",
        "the web service answers requests with faults of its own",
        'sum(increase(web_rejected_total{reason="internal_error"}[15m])) > 0',
        60,
        "ERROR",
        "This is a bug: the web container's log has a traceback beside the request's id.",
    ),
    Alert(
        "SlowPictures",
        "95 % of the jobs take longer than the budget",
        f"histogram_quantile(0.95, sum by (le) (rate(web_job_seconds_bucket[1h]))) > {BUDGET}",
        600,
        "WARNING",
        "Look whether the time goes into the queue (more pods: `maxReplicas`, `maxNodes`) or into "
        "the drawing (fewer `steps`, `profile: fast`, a faster `machineType`).",
    ),
    Alert(
        "QueueFull",
        "requests are refused because the queue is full",
        'sum(increase(web_rejected_total{reason="queue_full"}[5m])) > 0',
        300,
        "WARNING",
        "Callers are told to try again. Raise `maxReplicas` and `maxNodes`; a longer `queue` helps "
        "only those who can wait.",
    ),
    Alert(
        "ModelNotLoaded",
        "a pod's model is not loaded",
        f"(sum(web_model_server_ready) or vector(0)) == 0 or {_ONE_UNREADY}",
        1200,
        "CRITICAL",
        _START_RUNBOOK,
        modes=("deployment",),
    ),
    Alert(
        "ModelNotLoaded",
        "a pod's model is not loaded",
        _ONE_UNREADY,
        1200,
        "CRITICAL",
        _START_RUNBOOK,
        modes=("knative",),
    ),
    Alert(
        "NoPodForAJob",
        "a job waits for a pod that does not come",
        f"{_QUEUED} > 0 and sum(kube_deployment_status_replicas_available)"
        " < sum(kube_deployment_spec_replicas)",
        900,
        "CRITICAL",
        _POD_RUNBOOK,
        modes=("deployment",),
    ),
    Alert(
        "NoPodForAJob",
        "a job waits for a pod that does not come",
        f"{_QUEUED} + sum(web_drawing_jobs) > 0"
        " and (sum(kn_revision_pods_count) or vector(0)) == 0",
        # A job waits no longer than its deadline, which is below 10 minutes there.
        420,
        "CRITICAL",
        _POD_RUNBOOK,
        modes=("knative",),
    ),
    Alert(
        "SpotPreemptions",
        "Google took away three nodes or more within an hour",
        "sum(sum_over_time(kubernetes_io:node_interruption_count"
        '{interruption_type="PreemptionEvent"}[1h])) >= 3',
        0,
        "WARNING",
        "Jobs on those nodes were lost or drawn again. If it goes on: `spot: false`, or another "
        "`location` or `machineType`.",
        only_on_spot=True,
    ),
)


def alerts(mode: Mode, *, spot: bool) -> Iterator[Alert]:
    """Those that a way to serve has. spot: whether the nodes are spot VMs."""
    for alert in ALERTS:
        if mode in alert.modes and (spot or not alert.only_on_spot):
            yield alert
