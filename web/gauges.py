"""Metrics that are true at the moment of each reading."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from web.service import Service

_MODEL_LABELS = ("family", "fingerprint", "profile", "precision")


class Gauges(Collector):
    """What a service does now."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        queue, models = self._service.queue, self._service.models
        yield GaugeMetricFamily("web_queued_jobs", "Jobs that wait", value=queue.queued)
        yield GaugeMetricFamily("web_drawing_jobs", "Jobs that are drawn", value=queue.drawing)
        labels = ["model_server"]
        busy = CounterMetricFamily(
            "web_model_server_busy_seconds", "Time that it drew for this service", labels=labels
        )
        ready = GaugeMetricFamily(
            "web_model_server_ready", "1 if its model is ready", labels=labels
        )
        for server in models.servers:
            busy.add_metric([server.endpoint], server.busy_seconds)
            ready.add_metric([server.endpoint], int(server in models.ready))
        yield from (busy, ready)
        start = GaugeMetricFamily(
            "web_model_start_seconds", "From the start of this service until a model was ready"
        )
        if (seconds := models.start_seconds) is not None:
            start.add_metric([], seconds)
        yield start
        model = GaugeMetricFamily("web_model_info", "The served model", labels=_MODEL_LABELS)
        if (described := models.served.description) is not None:
            model.add_metric([str(getattr(described, name)) for name in _MODEL_LABELS], 1)
        yield model
