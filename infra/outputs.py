"""Stack outputs that are computed from settings alone."""

from __future__ import annotations

from infra.settings import Settings
from model_export.spec import MAX_GUIDANCE_SCALE, MAX_PROMPT_BYTES, MAX_PROMPT_TOKENS


def limits(settings: Settings) -> dict[str, int | float | str]:
    """What a client may ask of the service, and what it gets when it does not say."""
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
