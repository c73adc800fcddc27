"""TensorFlow Serving's monitoring file, without which it has no metrics."""

from __future__ import annotations

from model_export.spec import METRICS_PATH


def monitoring_config() -> str:
    """The file's text: Prometheus metrics at METRICS_PATH on the REST port."""
    return f'prometheus_config {{ enable: true, path: "{METRICS_PATH}" }}\n'
