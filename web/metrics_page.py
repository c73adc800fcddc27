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


def create_metrics_app(metrics: Metrics) -> Starlette:
    def show(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    guard = Middleware(HeadGuard, answers=FaultAnswers((), metrics), allowed_origins=())
    return Starlette(routes=[Route(PATH, show)], middleware=[guard])
