"""What a model says about itself."""

from __future__ import annotations

import json

import pytest

from model_export.description import description, limits
from model_export.reported import reported_fingerprint
from model_export.spec import EXPORTER_VERSION, SIGNATURES, ModelSpec


def test_a_description_has_everything_a_client_needs() -> None:
    spec = ModelSpec.for_family(
        "sd14", weights="random", profile="fast", image_size=512, sampler="ddim", steps=30
    )
    fingerprint = reported_fingerprint(spec, "0123456789abcdef")
    assert json.loads(description(spec, fingerprint)) == {
        "format": 1,
        "family": "sd14",
        "fingerprint": "0123456789abcdef-fast-random-weights",
        "exporterVersion": EXPORTER_VERSION,
        "profile": "fast",
        "precision": "float32",
        "samplers": ["ddim"],
        "signatures": [*SIGNATURES],
        "licence": "none (random weights)",
        "limits": {
            "maxSteps": 50,
            "maxPromptBytes": 8192,
            "maxPromptTokens": 77,
            "maxGuidanceScale": 30.0,
            "imageSize": 512,
            "defaultSteps": 30,
            "defaultGuidanceScale": 7.5,
            "defaultNegativePrompt": spec.negative_prompt,
        },
    }


@pytest.mark.parametrize("negative_prompt", ["", 'a "quoted" \\ text\n', "☆ 😀", "\x00\x7f"])
def test_any_negative_prompt_comes_back_from_ascii_json(negative_prompt: str) -> None:
    spec = ModelSpec(negative_prompt=negative_prompt)
    text = description(spec, "f")
    assert text.isascii() and text.isprintable()
    assert json.loads(text)["limits"] == limits(spec)
    assert limits(spec)["defaultNegativePrompt"] == negative_prompt
