"""What a model says about itself: the JSON that its signature `describe` answers.

A client then needs to know only the address. Format 1 may gain keys; a key never changes its
meaning.
"""

from __future__ import annotations

import json

from model_export.families import family
from model_export.spec import (
    EXPORTER_VERSION,
    MAX_PROMPT_BYTES,
    MAX_PROMPT_TOKENS,
    SIGNATURES,
    ModelSpec,
)

FORMAT = 1


def description(spec: ModelSpec, reported_fingerprint: str) -> str:
    """A JSON object in ASCII. The same spec and fingerprint give the same text."""
    document: dict[str, object] = {
        "format": FORMAT,
        "family": spec.family,
        "fingerprint": reported_fingerprint,
        "exporterVersion": EXPORTER_VERSION,
        "profile": spec.profile,
        "precision": spec.precision,
        "samplers": [spec.sampler],
        "signatures": SIGNATURES,
        "licence": family(spec.family).licence(spec),
        "limits": limits(spec),
    }
    if spec.is_distilled:
        document["distilled"] = True
    return json.dumps(document)


def limits(spec: ModelSpec) -> dict[str, int | float | str]:
    """The model's limits and defaults, by the names that the stack's output `limits` uses too."""
    least = {"minSteps": spec.min_steps} if spec.min_steps > 1 else {}
    return {
        **least,
        "maxSteps": spec.max_steps,
        "maxPromptBytes": MAX_PROMPT_BYTES,
        "maxPromptTokens": MAX_PROMPT_TOKENS,
        "maxGuidanceScale": spec.max_guidance_scale,
        "imageSize": spec.image_size,
        "defaultSteps": spec.steps,
        "defaultGuidanceScale": spec.guidance_scale,
        "defaultNegativePrompt": spec.negative_prompt,
    }
