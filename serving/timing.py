"""Time limits for starting, draining and rolling out a model server."""

from __future__ import annotations

import math

ENDPOINT_REMOVAL_SECONDS = 15
"""How long load balancers keep sending requests to a stopping pod."""
_STOP_MARGIN_SECONDS = 60
_DELETE_MARGIN_SECONDS = 600

_RESPONSE_MARGIN_SECONDS = 60
_LONGEST_DRAINING_SECONDS = 3600
"""That Google's load balancers allow."""

PROBE_PERIOD_SECONDS = 10
_SLOWEST_READ_BYTES_PER_SECOND = 5_000_000
"""TensorFlow from gs:// without a cache: an order of magnitude slower than a local disk
(tensorflow/serving#1700, tensorflow/tensorflow#36505)."""
_START_MARGIN_SECONDS = 120

MODEL_WAIT_SECONDS = 600
"""How long a pod waits until it can read the model: a role that was granted just now usually takes
effect within two minutes, but can take seven or more."""
NODE_START_SECONDS = 900
"""A new node, once the autoscaler has decided on it, and the image on it: a few minutes usually."""
_LONGEST_ROLLOUT_SECONDS = 24 * 3600
LARGEST_MODEL_BYTES = 8_000_000_000
"""For deadlines that are needed before the model is exported; sd14 in float32 has 4.3 GB."""


def grace_period_seconds(request_timeout: int) -> int:
    """The time for a stopping pod to finish all accepted requests."""
    return request_timeout + ENDPOINT_REMOVAL_SECONDS + _STOP_MARGIN_SECONDS


def response_timeout_seconds(request_timeout: int) -> int:
    """How long a load balancer waits for the end of an answer: longer than any job takes."""
    return request_timeout + _RESPONSE_MARGIN_SECONDS


def draining_timeout_seconds(request_timeout: int) -> int:
    """How long a load balancer leaves a stopping pod its open requests: as long as it has."""
    return min(grace_period_seconds(request_timeout), _LONGEST_DRAINING_SECONDS)


def delete_timeout_seconds(request_timeout: int) -> int:
    """How long Pulumi waits for the deletion of pods: longer than their grace period."""
    return grace_period_seconds(request_timeout) + _DELETE_MARGIN_SECONDS


def startup_seconds(model_bytes: float, request_timeout: int) -> int:
    """The longest acceptable start: read the model, then warm up each signature once."""
    read = model_bytes / _SLOWEST_READ_BYTES_PER_SECOND
    return math.ceil(_START_MARGIN_SECONDS + read + request_timeout)


def startup_failure_threshold(model_bytes: float, request_timeout: int) -> int:
    """How many startup probes in a row may fail."""
    return math.ceil(startup_seconds(model_bytes, request_timeout) / PROBE_PERIOD_SECONDS)


def scale_down_window_seconds(request_timeout: int) -> int:
    """The scale-down stabilization window: longer than any request."""
    return min(3600, max(300, request_timeout))


def start_deadline_seconds(model_bytes: float, request_timeout: int) -> int:
    """The time for one pod of a rollout: a node, the old pod's drain, the model, and its start."""
    before = NODE_START_SECONDS + grace_period_seconds(request_timeout) + MODEL_WAIT_SECONDS
    return before + startup_seconds(model_bytes, request_timeout)


def progress_seconds(model_bytes: float, request_timeout: int) -> int:
    """The time for a Knative revision's first pod to serve; longer than any that is only slow."""
    before = NODE_START_SECONDS + MODEL_WAIT_SECONDS
    return before + startup_seconds(model_bytes, request_timeout)


def longest_progress_seconds(request_timeout: int) -> int:
    """For deadlines that are needed before the model is exported."""
    return progress_seconds(LARGEST_MODEL_BYTES, request_timeout)


def replace_seconds(request_timeout: int) -> int:
    """The longest time until a drained pod has ended and another one serves in its place."""
    return start_deadline_seconds(LARGEST_MODEL_BYTES, request_timeout)


def rollout_seconds(most_pods: int, request_timeout: int) -> int:
    """The longest time of a rollout, which replaces one pod after another."""
    return min(most_pods * replace_seconds(request_timeout), _LONGEST_ROLLOUT_SECONDS)
