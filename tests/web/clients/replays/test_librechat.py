"""What LibreChat's tools for pictures ask, and read from the answers.

From danny-avila/LibreChat, api/app/clients/tools/structured/StableDiffusion.js and
OpenAIImageTools.js, commit 00b3bc32f0f5dd65befa49a0773dae7d26d8e587 (as it is stored; it may be a
fork's).
"""

from __future__ import annotations

import json

import httpx

from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

PROMPT = "a small red circle on white"


def test_stable_diffusion_reads_the_picture_and_its_infotext(service: WebProcess) -> None:
    size = {"width": 1024, "height": 1024}
    asked = {"prompt": PROMPT, "negative_prompt": "blue", "cfg_scale": 4.5, "steps": 22, **size}
    answer = service.post("/sdapi/v1/txt2img", asked).raise_for_status().json()
    from_base64(answer["images"][0])
    info = json.loads(answer["info"])
    assert (info["width"], info["height"]) == (64, 64)
    parameters = info["infotexts"][0].split("\n")[-1]
    assert f"Seed: {info['seed']}" in parameters
    assert "Steps: 22" in parameters


def test_openai_tool_reads_base64(service: WebProcess) -> None:
    automatic = dict.fromkeys(("background", "quality", "size"), "auto")
    asked = {"model": "gpt-image-1", "prompt": PROMPT, "n": 1, "output_format": "png", **automatic}
    answer = service.post("/v1/images/generations", asked).raise_for_status().json()
    assert from_base64(answer["data"][0]["b64_json"]).format == "PNG"


def test_openai_tool_is_told_that_edits_are_not_offered(service: WebProcess) -> None:
    answer = httpx.post(
        f"{service.url}/v1/images/edits",
        headers={"Authorization": "Bearer unused"},
        data={"model": "gpt-image-1", "prompt": PROMPT, "quality": "auto", "size": "auto"},
        files=[("image[]", ("picture.png", bytes(100_000), "image/png"))],
        timeout=60,
    )
    assert answer.status_code == 400
    assert "not offered" in answer.json()["error"]["message"]
