"""Names, labels and ports of the Kubernetes objects."""

from __future__ import annotations

from model_export.spec import GRPC_PORT, REST_PORT

__all__ = [
    "FRONT",
    "FRONT_LABELS",
    "GRPC_PORT",
    "LABELS",
    "NAME",
    "PORTS",
    "REST_PORT",
    "WEB",
    "WEB_METRICS",
    "WEB_METRICS_PORT",
    "WEB_PORT",
    "WEB_PORTS",
    "WORKER",
    "WORKER_LABELS",
]

NAME = "model-server"
"""Of every object that exists once. It is fixed, so that the objects that a killed update left are
found by the next one."""
LABELS = {
    "app.kubernetes.io/name": "model-server",
    "app.kubernetes.io/part-of": "diffusion-serving",
}
"""Labels of the pods, matched by every selector."""
FRONT = "front"
"""The Deployment of the front, and what goes with it, where workers draw."""
FRONT_LABELS = LABELS | {"app.kubernetes.io/name": FRONT}
WORKER = "worker"
WORKER_LABELS = LABELS | {"app.kubernetes.io/name": WORKER}
PORTS = {"grpc": GRPC_PORT, "rest": REST_PORT}
"""The ports of the model server's APIs, by their names in pods and services."""
WEB = "web"
"""The web service's container, port and Service."""
WEB_METRICS = "web-metrics"
WEB_PORT = 8080
WEB_METRICS_PORT = 8081
WEB_PORTS = {WEB: WEB_PORT, WEB_METRICS: WEB_METRICS_PORT}
"""The ports of the web container, by their names in pods."""
