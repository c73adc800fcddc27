"""TensorFlow Serving's stock image."""

from __future__ import annotations

_IMAGE = "tensorflow/serving:2.20.0"
"""The same minor version as the TensorFlow that exports the model."""


def image(digest: str) -> str:
    """The image, pinned by its version, and by its digest (`sha256:…`) unless that is empty."""
    return f"{_IMAGE}@{digest}" if digest else _IMAGE
