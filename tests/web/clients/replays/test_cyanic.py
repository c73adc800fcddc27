"""What Cyanic, a plug-in for Krita, asks of an AUTOMATIC1111, and reads from the answers.

From DrCyanide/cyanic-sd-krita, cyanic/sdapi_v1.py, cyanic/widgets/ and cyanic/krita_controller.py,
commit 5678aa1bc6f263b23a7e1da384b235f61489d26d.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow

START = {
    "/sdapi/v1/sd-models": ("title", "model_name"),
    "/sdapi/v1/sd-vae": ("model_name",),
    "/sdapi/v1/samplers": ("name",),
    "/sdapi/v1/upscalers": ("name",),
    "/sdapi/v1/face-restorers": ("name",),
    "/sdapi/v1/prompt-styles": ("name", "prompt", "negative_prompt"),
    "/sdapi/v1/scripts": None,
    "/sdapi/v1/loras": ("name",),
    "/sdapi/v1/embeddings": None,
    "/sdapi/v1/hypernetworks": ("name",),
    "/sdapi/v1/options": None,
}
"""What it asks at its start, in this order, and what it reads from each row of the lists."""


def test_the_start_list_is_answered_in_full(service: WebProcess) -> None:
    assert service.get("/queue/status").raise_for_status().json()
    answers = {path: service.get(path).raise_for_status().json() for path in START}
    for path, names in START.items():
        if names is not None:
            assert isinstance(answers[path], list)
            assert all(name in row for row in answers[path] for name in names), path
    scripts = answers["/sdapi/v1/scripts"]
    assert not any(name in scripts[key] for key in scripts for name in ("controlnet", "adetailer"))
    assert answers["/sdapi/v1/embeddings"]["loaded"] == {}
    options = answers["/sdapi/v1/options"]
    titles = [row["title"] for row in answers["/sdapi/v1/sd-models"]]
    assert options["sd_model_checkpoint"] in titles
    assert isinstance(options["sd_vae"], str)


def test_progress_is_polled_while_pictures_are_drawn(slow_service: WebProcess) -> None:
    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(_drawn, slow_service, batch_count=2)
        seen: list[dict[str, Any]] = []
        while not drawing.done():
            seen.append(slow_service.get("/sdapi/v1/progress").json())
            time.sleep(0.1)
        answer = drawing.result()
    for progress in seen:
        assert not progress["state"]["skipped"]
        assert not progress["state"]["interrupted"]
        assert 0 <= int(progress["progress"] * 100) < 100
    while_drawing = [progress["progress"] for progress in seen if progress["state"]["job_count"]]
    assert while_drawing == sorted(while_drawing)
    assert len(set(while_drawing)) > 2
    previews = [progress["current_image"] for progress in seen if progress["current_image"]]
    assert len(set(previews)) > 1
    for preview in previews:
        from_base64(preview)
    _assert_pictures(answer, 2)


def test_a_cancel_gives_the_pictures_so_far(slow_service: WebProcess) -> None:
    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(_drawn, slow_service, batch_count=4)
        while slow_service.get("/sdapi/v1/progress").json()["state"]["job_no"] < 1:
            assert not drawing.done()
            time.sleep(0.05)
        slow_service.post("/sdapi/v1/interrupt", {}).raise_for_status()
        answer = drawing.result()
    assert 1 <= len(answer["images"]) < 4
    assert len(answer["info"]["all_seeds"]) >= len(answer["images"])
    assert slow_service.get("/sdapi/v1/progress").json()["state"]["job_count"] == 0


def _drawn(service: WebProcess, batch_count: int) -> dict[str, Any]:
    """What it sends for its widgets' values, and makes of the answer."""
    asked = {
        "width": 512,
        "height": 768,
        "save_images": True,
        "prompt": "a small red circle on white",
        "negative_prompt": "",
        "override_settings": {
            "sd_model_checkpoint": service.get("/sdapi/v1/options").json()["sd_model_checkpoint"],
            "sd_vae": "Automatic",
        },
        "override_settings_restore_afterwards": False,
        "sampler_name": "DDIM",
        "steps": 12,
        "batch_size": 1,
        "n_iter": batch_count,
        "cfg_scale": 7.0,
        "seed": -1,
        "subseed": -1,
        "subseed_strength": 0,
        "enable_hr": False,
    }
    answer = service.post("/sdapi/v1/txt2img", asked).json()
    return {**answer, "info": json.loads(answer["info"])}


def _assert_pictures(answer: dict[str, Any], count: int) -> None:
    parameters, info = answer["parameters"], answer["info"]
    assert parameters["batch_size"] * parameters["n_iter"] == len(answer["images"]) == count
    assert len(set(info["all_seeds"])) == count
    assert (info["width"], info["height"]) == (64, 64)
    for image in answer["images"]:
        from_base64(image)
