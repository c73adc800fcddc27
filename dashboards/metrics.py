"""The metrics that dashboards and alerts ask for, where they come from, and how a query is
narrowed to one service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

Mode = Literal["deployment", "knative"]
MODES: tuple[Mode, ...] = ("deployment", "knative")


class Source(StrEnum):
    """Who makes a metric."""

    ASKED = "every web service that is asked for pictures"
    WEB = "the web service that has the jobs"
    MODEL = "the web service beside each model server"
    KUBERNETES = "GKE's kube state metrics"
    NODES = "GKE's system metrics"
    AUTOSCALER = "Knative's autoscaler"
    ACTIVATOR = "Knative's activator"


METRICS: Mapping[str, Source] = {
    "web_picture_requests_total": Source.ASKED,
    "web_jobs_total": Source.WEB,
    "web_rejected_total": Source.WEB,
    "web_pictures_total": Source.WEB,
    "web_queued_jobs": Source.WEB,
    "web_drawing_jobs": Source.WEB,
    "web_job_waiting_seconds_bucket": Source.WEB,
    "web_job_drawing_seconds_bucket": Source.WEB,
    "web_job_seconds_bucket": Source.WEB,
    "web_worker_wait_seconds_bucket": Source.WEB,
    "web_model_server_ready": Source.MODEL,
    "web_model_start_seconds": Source.MODEL,
    "kube_deployment_spec_replicas": Source.KUBERNETES,
    "kube_deployment_status_replicas_available": Source.KUBERNETES,
    "kube_pod_status_phase": Source.KUBERNETES,
    "kubernetes_io:node_cpu_total_cores": Source.NODES,
    "kubernetes_io:node_interruption_count": Source.NODES,
    "kn_revision_pods_desired": Source.AUTOSCALER,
    "kn_revision_pods_count": Source.AUTOSCALER,
    "kn_revision_pods_pending_count": Source.AUTOSCALER,
    "kn_revision_concurrency_stable": Source.AUTOSCALER,
    "http_server_request_duration_seconds_count": Source.ACTIVATOR,
}
"""By the names of their series."""

FRONT, WORKER = "front", "worker"
"""Prometheus's jobs in the mode knative. A worker counts what it draws for the front, too."""

Scope = Mapping[Source, str]
"""Matchers that narrow each source's series to one service, such as `namespace="mine"`; of those
that are not in it, all series are meant."""


def of_web_services(mode: Mode, matchers: str) -> dict[Source, str]:
    """Of our own metrics. matchers: of all of them; may be empty."""
    jobs = {
        Source.ASKED: f'job=~"{FRONT}|{WORKER}"',
        Source.WEB: f'job="{FRONT}"',
        Source.MODEL: f'job="{WORKER}"',
    }
    if mode == "deployment":
        return dict.fromkeys(jobs, matchers)
    return {source: ", ".join(filter(None, (matchers, job))) for source, job in jobs.items()}


_NAMES = re.compile(rf"(?<![\w:])({'|'.join(map(re.escape, METRICS))})(?![\w:])(\{{?)")


def scoped(expression: str, scope: Scope) -> str:
    """The expression about one service: every metric in it gets its source's matchers."""

    def narrowed(found: re.Match[str]) -> str:
        name, brace = found.groups()
        matchers = scope.get(METRICS[name])
        if not matchers:
            return found[0]
        return f"{name}{{{matchers}{', ' if brace else '}'}"

    return _NAMES.sub(narrowed, expression)


def names_in(expression: str) -> set[str]:
    """Of its metrics."""
    return {found[1] for found in _NAMES.finditer(expression)}
