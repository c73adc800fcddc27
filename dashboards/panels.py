"""The table: what a dashboard shows.

Requests are those that ask for pictures. Rates are per minute and percentiles of the last hour,
since a picture may take minutes. Where nothing happened there is no percentage and no percentile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dashboards.metrics import MODES, Mode
from dashboards.panel import PRICE, OnPage, Panel, Section, Series


def _per_minute(metric: str, by: str) -> str:
    return f"60 * sum by ({by}) (rate({metric}[5m]))"


def _percent(part: str, whole: str, by: str = "") -> str:
    """Nothing where the whole is nothing."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"100 * {grouped} (rate({part}[15m])) / ({grouped} (rate({whole}[15m])) > 0)"


def _percentiles(metric: str, figures: str = "") -> tuple[Series, ...]:
    """NaN, of no jobs, is not more than zero."""
    return tuple(
        Series(
            f"histogram_quantile({percent / 100:g}, sum by (le) (rate({metric}_bucket[1h]))) > 0",
            name=f"p{percent}",
            figure=figures and f"{figures}.p{percent}",
        )
        for percent in (50, 90, 95, 99)
    )


_REQUESTS = "web_picture_requests_total"
_JOBS = "web_jobs_total"
_STARTED = "max_over_time(web_model_start_seconds[1h]) unless web_model_start_seconds offset 1h"
"""Of pods that were not there an hour ago."""
_LARGE_NODES = "count(kubernetes_io:node_cpu_total_cores > 2)"
_SERVING_NODES: Mapping[Mode, str] = {
    "deployment": _LARGE_NODES,
    "knative": f"({_LARGE_NODES} - 1)",
}
"""Those with model servers have more than two CPUs, and the system pool's one node has two; with
Knative it is as large as they may be."""


def _costs(mode: Mode) -> tuple[Panel, ...]:
    """Of the last hour."""
    cost = f"{PRICE} * sum_over_time({_SERVING_NODES[mode]}[1h:1m]) / 60"
    pictures = "sum(increase(web_pictures_total[1h]))"
    return (
        Panel("Cost of an hour", (Series(cost, name="nodes"),), modes=(mode,)),
        Panel(
            "Cost of a picture",
            (Series(f"{cost} / ({pictures} > 0)", name="a picture of the last hour"),),
            modes=(mode,),
        ),
    )


SECTIONS = (
    Section(
        "Requests",
        "Requests for pictures; a job of the service's own API is answered when it is taken.",
        (
            Panel(
                "Requests for pictures",
                tuple(
                    Series(
                        f'60 * sum(rate({_REQUESTS}{{code="{code}"}}[5m]))',
                        name=f"{word} ({code})",
                        figure=f"requests.{code}",
                    )
                    for code, word in (("2xx", "answered"), ("4xx", "refused"), ("5xx", "failed"))
                ),
                kind="stacked",
                page=OnPage("No requests in this time.", "sum"),
            ),
            Panel(
                "Requests per minute, by API",
                (Series(_per_minute(_REQUESTS, "api"), by="api"),),
                kind="stacked",
            ),
            Panel(
                "Requests answered, by API",
                (Series(_percent(f'{_REQUESTS}{{code="2xx"}}', _REQUESTS, "api"), by="api"),),
                unit="%",
            ),
            Panel(
                "Requests refused (4xx) per minute, by API",
                (Series(_per_minute(f'{_REQUESTS}{{code="4xx"}}', "api"), by="api"),),
            ),
            Panel(
                "Requests failed (5xx) per minute, by API",
                (Series(_per_minute(f'{_REQUESTS}{{code="5xx"}}', "api"), by="api"),),
            ),
            Panel(
                "Jobs done, stopped ones aside",
                (
                    Series(
                        _percent(f'{_JOBS}{{outcome="ok"}}', f'{_JOBS}{{outcome!="cancelled"}}'),
                        name="done",
                    ),
                ),
                unit="%",
            ),
        ),
    ),
    Section(
        "Durations",
        "Percentiles of the jobs that ended in the last hour.",
        (
            Panel("Seconds in the queue", _percentiles("web_job_waiting_seconds"), unit="s"),
            Panel("Seconds being drawn", _percentiles("web_job_drawing_seconds"), unit="s"),
            Panel(
                "Seconds from request to picture",
                _percentiles("web_job_seconds", "wholeSeconds"),
                unit="s",
                page=OnPage("No job ended in this time.", "percentile"),
            ),
        ),
    ),
    Section(
        "Load",
        "A cold start lasts from the start of a pod's containers until its model is ready.",
        (
            Panel(
                "Jobs waiting and being drawn",
                (
                    Series("sum(web_queued_jobs)", name="waiting", figure="queued"),
                    Series("sum(web_drawing_jobs)", name="drawing", figure="drawing"),
                ),
                page=OnPage("Nothing to do in this time.", "most"),
            ),
            Panel(
                "Pods",
                (
                    Series("sum(kube_deployment_spec_replicas)", name="wanted"),
                    Series("sum(kube_deployment_status_replicas_available)", name="ready"),
                    Series('sum(kube_pod_status_phase{phase="Pending"})', name="pending"),
                ),
                modes=("deployment",),
            ),
            Panel(
                "Pods",
                (
                    Series("sum(kn_revision_pods_desired)", name="wanted"),
                    Series("sum(kn_revision_pods_count)", name="ready"),
                    Series("sum(kn_revision_pods_pending_count)", name="pending"),
                ),
                modes=("knative",),
            ),
            Panel(
                "Cold starts in the last hour",
                (Series(f"count({_STARTED}) or vector(0)", name="cold starts"),),
            ),
            Panel(
                "Longest cold start in the last hour",
                (Series(f"max({_STARTED})", name="longest"),),
                unit="s",
            ),
            Panel(
                "Seconds until a worker began",
                _percentiles("web_worker_wait_seconds"),
                unit="s",
                modes=("knative",),
            ),
            Panel(
                "Requests to the pods per minute, with their wait for one",
                (
                    Series(
                        "60 * sum by (class) (label_replace(rate("
                        'http_server_request_duration_seconds_count[5m]), "class", "${1}xx", '
                        '"http_response_status_code", "(.).."))',
                        by="class",
                    ),
                ),
                kind="stacked",
                modes=("knative",),
            ),
            Panel(
                "Requests in the pods, as the autoscaler sees them",
                (Series("sum(kn_revision_concurrency_stable)", name="in the last minute"),),
                modes=("knative",),
            ),
            Panel(
                "Pictures in the last hour",
                (Series("sum(increase(web_pictures_total[1h]))", name="pictures"),),
            ),
        ),
    ),
    Section(
        "Cost",
        "What the nodes cost, at the price that was set, without the cluster and its network.",
        tuple(panel for mode in MODES for panel in _costs(mode)),
    ),
)


def sections(mode: Mode, *, has_price: bool) -> Iterator[Section]:
    """Those that a way to serve has. has_price: whether a node's price is known."""
    for section in SECTIONS:
        shown = tuple(
            panel
            for panel in section.panels
            if mode in panel.modes and (has_price or not panel.has_price)
        )
        if shown:
            yield Section(section.title, section.note, shown)
