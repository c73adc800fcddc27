"""Stack outputs computed from settings alone."""

from __future__ import annotations

from infra.settings import Settings
from model_export.spec import MAX_GUIDANCE_SCALE, MAX_PROMPT_BYTES, MAX_PROMPT_TOKENS, MODEL_NAME


def limits(settings: Settings) -> dict[str, int | float | str]:
    """The service's limits and defaults, for clients."""
    model = settings.model
    return {
        "maxSteps": model.max_steps,
        "maxPromptBytes": MAX_PROMPT_BYTES,
        "maxPromptTokens": MAX_PROMPT_TOKENS,
        "maxGuidanceScale": MAX_GUIDANCE_SCALE,
        "imageSize": model.image_size,
        "defaultSteps": model.steps,
        "defaultGuidanceScale": model.guidance_scale,
        "defaultNegativePrompt": model.negative_prompt,
        "queue": settings.server.queue,
        "requestTimeoutSeconds": settings.server.request_timeout_seconds,
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
