"""A stop of a pod, step by step: what it has begun is drawn to the end before it is killed."""

from __future__ import annotations

from typing import Any

import pytest

from render.recorder import Run
from serving import timing
from tests.knative import objects
from tests.knative.queue_proxy.process import QUIET_SECONDS
from tests.stacks import container, pod_spec, run_of
from web import options
from web.server import CLOSE_SECONDS, COLLECT_SECONDS

PORT_CLOSED_SECONDS, IDLE_SECONDS = 2, 8
"""Until the start script sees that the web service has closed its port, and, where others send
requests to the model server itself, that none of theirs is left."""


def preliminary_seconds(web: dict[str, Any]) -> float:
    """Before SIGTERM, while load balancers still send requests."""
    return web["lifecycle"]["preStop"]["sleep"]["seconds"] if web.get("lifecycle") else 0


def longest_end_seconds(web: dict[str, Any]) -> float:
    """From SIGTERM to the web service's end: its last jobs, their callers, its connections."""
    return options.parse(web["args"]).stop_seconds + COLLECT_SECONDS + CLOSE_SECONDS


def raw_seconds(run: Run) -> float:
    """How long the model server waits for requests that are sent to it itself."""
    _bash, _script, _web_port, seconds, _server = container(run)["command"]
    return float(seconds)


@pytest.mark.parametrize(
    ("stack", "exposed"), [("dev", "false"), ("dev", "rest"), ("prod", "false")]
)
def test_the_grace_period_covers_every_step_of_a_pods_stop(stack: str, exposed: str) -> None:
    run = run_of(stack) if exposed == "false" else run_of(stack, exposeModelServer=exposed)
    web = container(run, "web")
    assert preliminary_seconds(web) == timing.ENDPOINT_REMOVAL_SECONDS
    assert options.parse(web["args"]).stop_seconds >= run.outputs["limits"]["requestTimeoutSeconds"]
    steps = preliminary_seconds(web) + longest_end_seconds(web) + PORT_CLOSED_SECONDS
    if exposed != "false":
        assert raw_seconds(run) > 0
        steps += raw_seconds(run) + IDLE_SECONDS
    assert steps <= pod_spec(run)["terminationGracePeriodSeconds"]


def test_the_grace_period_covers_every_step_of_a_fronts_stop() -> None:
    front = objects.front(run_of("knative"))
    (web,) = front["containers"]
    assert preliminary_seconds(web) == timing.ENDPOINT_REMOVAL_SECONDS
    served = options.parse(web["args"])
    assert served.stop_seconds >= served.deadline_seconds
    steps = preliminary_seconds(web) + longest_end_seconds(web)
    assert steps <= front["terminationGracePeriodSeconds"]


def test_knatives_time_out_covers_every_step_of_a_workers_stop() -> None:
    """It is the grace period of a worker's pod. What runs before SIGTERM is Knative's own, which
    refuses any other: queue-proxy's wait for requests that still come."""
    run = run_of("knative")
    web, server = objects.container(run), objects.container(run, "model-server")
    assert not web.get("lifecycle") and not server.get("lifecycle")
    steps = QUIET_SECONDS + longest_end_seconds(web) + PORT_CLOSED_SECONDS
    assert steps <= objects.template(run)["spec"]["timeoutSeconds"]
