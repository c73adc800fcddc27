"""What the command `status` prints: the service, the served model, and the figures."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

from client.api import Client
from client.command_line.connection import Service
from client.stacks.discovery import for_stack
from client.stacks.starting import server_at
from client.transports import metrics, web_metrics
from client.transports.metrics import NoMetricsError, ServerFigures
from client.transports.web_messages import WebServiceStatus
from prediction.endpoints import Protocol, is_grpc, is_loopback
from prediction.errors import ClientError, printable
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus


def print_status(service: Service, model: ModelStatus) -> None:
    client, stack = service.client, service.stack
    version = f", version {model.version}" if model.version else ""
    web = web_service_status(client.endpoint, client.protocol)
    lines = {
        "state": model.state,
        "endpoint": client.endpoint,
        **({} if web is None else {"web service": web_service_line(web)}),
        "model": f"{client.model_name}{version}",
        **model_lines(client, "" if stack is None else stack.fingerprint),
    }
    if stack is not None:
        lines["files"] = stack.model_uri
    try:
        if web is not None:
            figures = web_metrics.fetch(metrics_endpoint(client.endpoint))
        else:
            endpoint = client.endpoint if stack is None else stack.endpoint_for(Protocol.REST)
            figures = metrics.fetch(endpoint, client.model_name)
    except NoMetricsError as error:
        lines["metrics"] = f"unavailable: {for_stack(str(error), service.stack_name)}"
    else:
        capacity = "" if stack is None else f"; capacity {stack.limits.queue}"
        counted = "predictions" if web is None else "jobs"
        lines |= figure_lines(figures, capacity, counted)
    for name, value in lines.items():
        print(f"{name:11}  {printable(value)}")


def web_service_status(endpoint: str, protocol: Protocol | None) -> WebServiceStatus | None:
    """The web service's own state; None if it is not a web service that listens there."""
    if is_grpc(endpoint) or protocol is Protocol.REST:
        return None
    from client.transports.web import WebTransport  # requests takes 0.2 s to import

    try:
        with closing(WebTransport(endpoint, "")) as web:
            return web.service_status()
    except ClientError:
        return None


def web_service_line(web: WebServiceStatus) -> str:
    parts = [web.state, f"{web.queued} queued", f"{web.drawing} drawing"]
    if web.seconds_per_step is not None:
        parts.append(f"{web.seconds_per_step:.3g} s per step")
    return ", ".join([*parts, f"up for {timedelta(seconds=round(web.uptime_seconds))}"])


def metrics_endpoint(endpoint: str) -> str:
    """Of the web service at `endpoint`. Raises NoMetricsError if it is not this checkout's."""
    port = urlsplit(endpoint).port
    server = server_at(port) if port and is_loopback(endpoint) else None
    if server is None or len(server.record.ports) < 2:
        raise NoMetricsError(
            "they have a port of their own, which only this checkout's stack `local` tells"
        )
    return f"http://{server.record.host}:{server.record.ports[1]}"


def model_lines(client: Client, stack_fingerprint: str) -> dict[str, str]:
    """What the model says it is, by label; else the fingerprint that the stack recorded."""
    recorded = {"fingerprint": stack_fingerprint} if stack_fingerprint else {}
    try:
        # A server that draws answers after its picture.
        description = client.describe(STATUS_TIMEOUT_SECONDS)
    except ClientError as error:
        return {"draws": f"unknown: {error}", **recorded}
    if description is None:
        return recorded
    limits = description.limits
    fingerprint = description.fingerprint
    if stack_fingerprint and not fingerprint.startswith(stack_fingerprint):
        fingerprint += f" (the stack's outputs say {stack_fingerprint})"
    return {
        "draws": (
            f"{description.family}, {limits.image_size} px, {limits.default_steps} steps, "
            f"guidance scale {limits.default_guidance_scale:g}, "
            f"{', '.join(description.samplers)}, {description.profile}, {description.precision}"
        ),
        "fingerprint": fingerprint,
    }


def figure_lines(figures: ServerFigures, capacity: str, counted: str) -> dict[str, str]:
    """A server's figures since it started, by label. capacity: a note on the queue's size."""
    answers = ", ".join(f"{count} {status}" for status, count in figures.answers.items())
    requests, waits = figures.requests, figures.waits
    latency, queue = f"no {counted} yet", "no requests yet"
    if requests.mean is not None:
        half, most = requests.percentile(50), requests.percentile(95)
        latency = (
            f"{requests.count} {counted}, {requests.mean:.2f} s on average in the server; "
            f"p50 about {half:.2f}, p95 {most:.2f}"
        )
    if waits.mean is not None:  # its histogram ends at a second
        queue = f"{waits.count} requests, {waits.mean:.2f} s average wait"
    return {"requests": answers or "none yet", "latency": latency, "queue": queue + capacity}
