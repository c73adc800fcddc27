"""Names, labels and ports of the Kubernetes objects."""

from __future__ import annotations

from model_export.spec import GRPC_PORT, REST_PORT

__all__ = ["GRPC_PORT", "LABELS", "REST_PORT", "STATUS_PATH"]

LABELS = {
    "app.kubernetes.io/name": "model-server",
    "app.kubernetes.io/part-of": "diffusion-serving",
}
"""Of the pods, and what every selector goes by."""
STATUS_PATH = "/v1/models/stable-diffusion"
