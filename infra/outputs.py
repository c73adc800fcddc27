"""The stack's outputs."""

from __future__ import annotations

import pulumi

from infra.settings.stack import Settings
from model_export import description
from model_export.spec import MODEL_NAME


def export(**values: pulumi.Input[object] | None) -> None:
    """Export the values that are there under their names."""
    for name, value in values.items():
        if value is not None:
            pulumi.export(name, value)


def once(made: pulumi.Output[str], value: pulumi.Output[str]) -> pulumi.Output[str]:
    """The value, if the other is made too.

    The engine stores all outputs or none: those of an `up` that fails before must not replace the
    ones of the last that did not.
    """
    return pulumi.Output.all(made, value).apply(lambda both: both[1])


def limits(settings: Settings) -> dict[str, int | float | str]:
    """The service's limits and defaults, for clients."""
    return {
        **description.limits(settings.model),
        "queue": settings.server.queue,
        "requestTimeoutSeconds": settings.job_timeout_seconds,
    }


def curl_command(endpoint: str) -> str:
    """A command that saves a picture to picture.png."""
    return (
        f"curl -s {endpoint}/v1/models/{MODEL_NAME}:predict "
        '-d \'{"inputs": {"prompt": ["a small green square on white"]}, '
        '"signature_name": "prompt"}\' '
        "| python3 -c 'import base64, json, sys; sys.stdout.buffer.write(base64.b64decode("
        'json.load(sys.stdin)["outputs"]["image_bytes"][0]["b64"]))\' > picture.png'
    )
