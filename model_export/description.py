"""What a model says about itself: the JSON that its signature `describe` answers.

A client then needs to know only the address. Format 1 may gain keys; a key never changes its
meaning.
"""

from __future__ import annotations

import json

from model_export.families import family
from model_export.spec import (
    EXPORTER_VERSION,
    MAX_GUIDANCE_SCALE,
    MAX_PROMPT_BYTES,
    MAX_PROMPT_TOKENS,
    SIGNATURES,
    ModelSpec,
)

FORMAT = 1


def description(spec: ModelSpec, reported_fingerprint: str) -> str:
    """A JSON object in ASCII. The same spec and fingerprint give the same text."""
    document = {
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
    return json.dumps(document)


def limits(spec: ModelSpec) -> dict[str, int | float | str]:
    """The model's limits and defaults, by the names that the stack's output `limits` uses too."""
    return {
        "maxSteps": spec.max_steps,
        "maxPromptBytes": MAX_PROMPT_BYTES,
        "maxPromptTokens": MAX_PROMPT_TOKENS,
        "maxGuidanceScale": MAX_GUIDANCE_SCALE,
        "imageSize": spec.image_size,
        "defaultSteps": spec.steps,
        "defaultGuidanceScale": spec.guidance_scale,
        "defaultNegativePrompt": spec.negative_prompt,
    }
