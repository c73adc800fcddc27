"""What the service counts and times, for Prometheus. Labels are few and closed; no prompt, key or
address of a caller is among them, but the names of the keys are.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

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
from web.figures import Durations, Figures
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
    Reason.BUSY: "limited",
    Reason.TOO_MANY: "limited",
    Reason.DRAINING: "limited",
    Reason.TOO_LATE: "timeout",
    Reason.CANCELLED: "cancelled",
}


# When each counter began would be as many series again.
disable_created_metrics()


class Metrics:
    """One registry for each service, so that tests can have several."""

    def __init__(self) -> None:
        self.figures = Figures()
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
        self._worker_wait = Histogram(
            "web_worker_wait_seconds",
            "From a front's request until a worker began, with its machine's start",
            buckets=BUCKETS,
            registry=registry,
        )
        self._jobs = counter("web_jobs", "Jobs that ended", "api", "outcome")
        self._jobs_by_key = counter("web_jobs_by_key", "Jobs that ended", "key", "outcome")
        self._key_names: frozenset[str] = frozenset()
        self._pictures = counter("web_pictures", "Pictures drawn", "api")
        self._steps = counter("web_steps", "Denoising steps drawn")
        self._requests = counter("web_requests", "HTTP requests answered", "api", "code")
        self._picture_requests = counter(
            "web_picture_requests", "Of these, those that ask for pictures", "api", "code"
        )
        self._rejected = counter("web_rejected", "Requests answered with an error", "reason")
        self._in_flight = Gauge(
            "web_in_flight", "Requests for pictures that are being answered", registry=registry
        )
        self._in_flight_highest = Gauge(
            "web_in_flight_highest", "The most of them at one moment so far", registry=registry
        )
        self._now_in_flight = self._most_in_flight = 0
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

    @contextmanager
    def in_flight(self) -> Generator[None]:
        """While a request for pictures is answered."""
        self._now_in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._now_in_flight)
        self._in_flight.set(self._now_in_flight)
        self._in_flight_highest.set(self._most_in_flight)
        try:
            yield
        finally:
            self._now_in_flight -= 1
            self._in_flight.set(self._now_in_flight)

    def request_answered(self, api: str, status: int, *, asks_for_pictures: bool = False) -> None:
        self._requests.labels(api, f"{status // 100}xx").inc()
        if asks_for_pictures:
            self._picture_requests.labels(api, f"{status // 100}xx").inc()
            self.figures.request_answered(status)

    def request_rejected(self, code: str, status: int) -> None:
        """code: that of the fault in the answer."""
        reason = code if code in REJECTIONS else HTTP_CODES.get(status, HTTP_CODES[400])
        self._rejected.labels(reason).inc()

    def job_ended(self, job: Job) -> None:
        """The job is in its final state."""
        api, outcome, durations = job.asked.api.value, _outcome(job), _durations(job)
        self._jobs.labels(api, outcome).inc()
        self._whole.labels(api).observe(durations.whole)
        self._waiting.labels(api).observe(durations.waiting)
        if durations.drawing is not None:
            self._drawing.labels(api).observe(durations.drawing)
        self.figures.job_ended(outcome, durations)
        if job.owner in self._key_names:
            self._jobs_by_key.labels(job.owner, outcome).inc()

    def picture_drawn(self, api: Api) -> None:
        self._pictures.labels(api.value).inc()
        self.figures.picture_drawn()

    def steps_drawn(self, count: int) -> None:
        self._steps.inc(count)

    def worker_began(self, waited_seconds: float) -> None:
        self._worker_wait.observe(waited_seconds)

    def set_seconds_per_step(self, model_server: str, seconds: float) -> None:
        self._seconds_per_step.labels(model_server).set(seconds)

    def set_keys(self, names: frozenset[str]) -> None:
        """The names that have series of their own; others lose theirs."""
        for outcome in OUTCOMES:
            for gone in self._key_names - names:
                self._jobs_by_key.remove(gone, outcome)
            for name in names:
                self._jobs_by_key.labels(name, outcome)
        self._key_names = names

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
                if name != PAGE:
                    self._picture_requests.labels(name, code)
        for reason in sorted(REJECTIONS):
            self._rejected.labels(reason)


def _durations(job: Job) -> Durations:
    ended = job.ended or job.submitted
    return Durations(
        waiting=(job.started or ended) - job.submitted,
        drawing=None if job.started is None else ended - job.started,
        whole=ended - job.submitted,
    )


def _outcome(job: Job) -> str:
    if job.state is JobState.DONE:
        return "ok"
    if job.state is JobState.CANCELLED or job.problem is None:
        return "cancelled"
    return _OUTCOME_OF_REASON.get(job.problem.reason, "upstream_error")
