"""What the service counts and times, for Prometheus. Labels are few and closed; no prompt, key or
address of a caller is among them.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from web import VERSION
from web.faults import HTTP_CODES
from web.jobs.job import Api, Job, JobState
from web.jobs.refusals import Reason

BUCKETS = (
    *(0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60),
    *(90, 120, 180, 240, 300, 450, 600, 900),
)
"""Seconds. A picture takes from less than one on a GPU to minutes on a processor."""

PAGE = "page"
"""The label `api` of requests to no API: the page, /health."""

CODE_CLASSES = ("2xx", "3xx", "4xx", "5xx")
OUTCOMES = ("ok", "client_error", "limited", "cancelled", "upstream_error", "timeout")
REJECTIONS = frozenset({*(reason.value for reason in Reason), *HTTP_CODES.values()})

_OUTCOME_OF_REASON = {
    Reason.INVALID: "client_error",
    Reason.TOO_COSTLY: "client_error",
    Reason.FULL: "limited",
    Reason.DRAINING: "limited",
    Reason.TOO_LATE: "timeout",
    Reason.CANCELLED: "cancelled",
}


# When each counter began would be as many series again.
disable_created_metrics()


class Metrics:
    """One registry for each service, so that tests can have several."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("web_build", "The web service", registry=registry).info({"version": VERSION})

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(name, text, ["api"], buckets=BUCKETS, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._waiting = histogram("web_job_waiting_seconds", "From a job's submission to its start")
        self._drawing = histogram("web_job_drawing_seconds", "From a job's start to its end")
        self._whole = histogram("web_job_seconds", "From a job's submission to its end")
        self._jobs = counter("web_jobs", "Jobs that ended", "api", "outcome")
        self._pictures = counter("web_pictures", "Pictures drawn", "api")
        self._steps = counter("web_steps", "Denoising steps drawn")
        self._requests = counter("web_requests", "HTTP requests answered", "api", "code")
        self._rejected = counter("web_rejected", "Requests answered with an error", "reason")
        self._draining = Gauge("web_draining", "1 once the service stops", registry=registry)
        self._seconds_per_step = Gauge(
            "web_seconds_per_step",
            "What a step takes, averaged over the last ones",
            ["model_server"],
            registry=registry,
        )
        self._show_all()

    def register(self, gauges: Collector) -> None:
        """Add what is asked at every reading."""
        self._registry.register(gauges)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)

    def request_answered(self, api: str, status: int) -> None:
        self._requests.labels(api, f"{status // 100}xx").inc()

    def request_rejected(self, code: str, status: int) -> None:
        """code: that of the fault in the answer."""
        reason = code if code in REJECTIONS else HTTP_CODES.get(status, HTTP_CODES[400])
        self._rejected.labels(reason).inc()

    def job_ended(self, job: Job) -> None:
        """The job is in its final state."""
        api, ended = job.asked.api.value, job.ended or job.submitted
        self._jobs.labels(api, _outcome(job)).inc()
        self._whole.labels(api).observe(ended - job.submitted)
        self._waiting.labels(api).observe((job.started or ended) - job.submitted)
        if job.started is not None:
            self._drawing.labels(api).observe(ended - job.started)

    def picture_drawn(self, api: Api) -> None:
        self._pictures.labels(api.value).inc()

    def steps_drawn(self, count: int) -> None:
        self._steps.inc(count)

    def set_seconds_per_step(self, model_server: str, seconds: float) -> None:
        self._seconds_per_step.labels(model_server).set(seconds)

    def set_draining(self) -> None:
        self._draining.set(1)

    def _show_all(self) -> None:
        """Make the label children at once: a rate needs the zero before the first event."""
        for api in Api:
            for histogram in (self._waiting, self._drawing, self._whole):
                histogram.labels(api.value)
            for outcome in OUTCOMES:
                self._jobs.labels(api.value, outcome)
            self._pictures.labels(api.value)
        for name in (*(api.value for api in Api), PAGE):
            for code in CODE_CLASSES:
                self._requests.labels(name, code)
        for reason in sorted(REJECTIONS):
            self._rejected.labels(reason)


def _outcome(job: Job) -> str:
    if job.state is JobState.DONE:
        return "ok"
    if job.state is JobState.CANCELLED or job.problem is None:
        return "cancelled"
    return _OUTCOME_OF_REASON.get(job.problem.reason, "upstream_error")
