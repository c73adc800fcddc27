"""What the second port serves: /metrics."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.answers import FaultAnswers
from web.metrics import Metrics
from web.safety.heads import HeadGuard

PATH = "/metrics"


def create_metrics_app(metrics: Metrics, *, any_host: bool = False) -> Starlette:
    """any_host: whether it answers to other names than this machine's own."""

    # Not in a thread: the gauges read what belongs to the event loop, and its clock.
    async def show(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    answers = FaultAnswers((), metrics)
    guard = Middleware(HeadGuard, answers=answers, allowed_origins=(), any_host=any_host)
    return Starlette(routes=[Route(PATH, show)], middleware=[guard])
