"""Names, labels and ports of the Kubernetes objects."""

from __future__ import annotations

from model_export.spec import GRPC_PORT, REST_PORT

__all__ = ["GRPC_PORT", "LABELS", "NAME", "PORTS", "REST_PORT"]

NAME = "model-server"
"""Of every object that exists once. It is fixed, so that the objects that a killed update left are
found by the next one."""
LABELS = {
    "app.kubernetes.io/name": "model-server",
    "app.kubernetes.io/part-of": "diffusion-serving",
}
"""Labels of the pods, matched by every selector."""
PORTS = {"grpc": GRPC_PORT, "rest": REST_PORT}
"""The ports of the APIs, by their names in pods and services."""
