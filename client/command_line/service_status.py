"""What the command `status` prints: the served model, and its server's figures."""

from __future__ import annotations

from client.api import Client
from client.command_line.connection import Service
from client.stacks.discovery import for_stack
from client.transports.metrics import NoMetricsError, ServerFigures, fetch
from prediction.errors import ClientError, printable
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus


def print_status(service: Service, model: ModelStatus) -> None:
    client, stack = service.client, service.stack
    lines = {
        "state": model.state,
        "endpoint": client.endpoint,
        "model": f"{client.model_name}, version {model.version}",
        **model_lines(client, "" if stack is None else stack.fingerprint),
    }
    if stack is not None:
        lines["files"] = stack.model_uri
    try:
        figures = fetch(client.endpoint if stack is None else stack.endpoint, client.model_name)
    except NoMetricsError as error:
        lines["metrics"] = f"unavailable: {for_stack(str(error), service.stack_name)}"
    else:
        capacity = "" if stack is None else f"; capacity {stack.limits.queue}"
        lines |= figure_lines(figures, capacity)
    for name, value in lines.items():
        print(f"{name:11}  {printable(value)}")


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


def figure_lines(figures: ServerFigures, capacity: str) -> dict[str, str]:
    """A server's figures since it started, by label. capacity: a note on the queue's size."""
    answers = ", ".join(f"{count} {status}" for status, count in figures.answers.items())
    requests, waits = figures.requests, figures.waits
    latency, queue = "no predictions yet", "no requests yet"
    if requests.mean is not None:
        half, most = requests.percentile(50), requests.percentile(95)
        latency = (
            f"{requests.count} predictions, {requests.mean:.2f} s on average in the server; "
            f"p50 about {half:.2f}, p95 {most:.2f}"
        )
    if waits.mean is not None:  # its histogram ends at a second
        queue = f"{waits.count} requests, {waits.mean:.2f} s average wait"
    return {"requests": answers or "none yet", "latency": latency, "queue": queue + capacity}
