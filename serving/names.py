"""Names, labels and ports of the Kubernetes objects."""

from __future__ import annotations

from model_export.spec import GRPC_PORT, REST_PORT

__all__ = ["GRPC_PORT", "LABELS", "REST_PORT", "STATUS_PATH"]

LABELS = {
    "app.kubernetes.io/name": "model-server",
    "app.kubernetes.io/part-of": "diffusion-serving",
}
"""Labels of the pods, matched by every selector."""
STATUS_PATH = "/v1/models/stable-diffusion"
