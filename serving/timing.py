"""How long a model server takes to start, to drain and to be rolled out, in seconds."""

from __future__ import annotations

import math

ENDPOINT_REMOVAL_SECONDS = 15
"""For this long after a pod is told to stop, load balancers still send it requests."""
_STOP_MARGIN_SECONDS = 60
_DELETE_MARGIN_SECONDS = 600

PROBE_PERIOD_SECONDS = 10
_SLOWEST_READ_BYTES_PER_SECOND = 5_000_000
"""TensorFlow from gs:// without a cache: an order of magnitude below a local disk's speed
(tensorflow/serving#1700, tensorflow/tensorflow#36505)."""
_START_MARGIN_SECONDS = 120

ROLLOUT_SECONDS = 3600
"""A new node, the image, the slowest start, for one pod after another."""


def grace_period_seconds(request_timeout: int) -> int:
    """What a pod gets to finish every request that it has taken, the last one included."""
    return request_timeout + ENDPOINT_REMOVAL_SECONDS + _STOP_MARGIN_SECONDS


def delete_timeout_seconds(request_timeout: int) -> int:
    """How long Pulumi waits for pods to be gone; longer than they may take."""
    return grace_period_seconds(request_timeout) + _DELETE_MARGIN_SECONDS


def startup_seconds(model_bytes: float, request_timeout: int) -> int:
    """The longest start to put up with: read the model, then warm up each signature once."""
    read = model_bytes / _SLOWEST_READ_BYTES_PER_SECOND
    return math.ceil(_START_MARGIN_SECONDS + read + request_timeout)


def startup_failure_threshold(model_bytes: float, request_timeout: int) -> int:
    """How many startup probes in a row may fail."""
    return math.ceil(startup_seconds(model_bytes, request_timeout) / PROBE_PERIOD_SECONDS)


def scale_down_window_seconds(request_timeout: int) -> int:
    """For how long fewer pods must do before one goes: longer than any request."""
    return min(3600, max(300, request_timeout))
