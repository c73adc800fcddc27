"""What SillyTavern asks of an AUTOMATIC1111, and reads from the answers.

From SillyTavern/SillyTavern, src/endpoints/stable-diffusion.js,
commit 02903fdd3ad33dc642fb328e43d0a8b3724e1a38, and what its page sends there
(public/scripts/extensions/stable-diffusion/index.js).
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import wait_until
from tests.web.clients.pictures import from_base64
from tests.web.clients.replays.caller import Caller
from tests.web.running import WebProcess

PROMPT = "a small red circle on white"
AUTHORIZATIONS = {"none": "", "a user": "user:password"}


@pytest.fixture(params=AUTHORIZATIONS.values(), ids=AUTHORIZATIONS)
def authorization(request: pytest.FixtureRequest) -> str:
    """The header that it always sends."""
    return "Basic " + base64.b64encode(request.param.encode()).decode()


@pytest.fixture
def caller(service: WebProcess, authorization: str) -> Iterator[Caller]:
    with Caller(service.url, Authorization=authorization) as caller:
        yield caller


def test_connecting_reads_every_list(caller: Caller) -> None:
    caller.read("/sdapi/v1/options")
    assert _column(caller, "samplers", "name")
    assert _column(caller, "sd-models", "title")
    upscalers = _column(caller, "upscalers", "name")
    upscalers[1:1] = _column(caller, "latent-upscale-modes", "name")
    assert upscalers == ["None"]
    assert _column(caller, "schedulers", "name")
    for path in ("sd-vae", "sd-modules"):
        assert _column(caller, path, "model_name") == []
    options = caller.read("/sdapi/v1/options")
    assert options["sd_model_checkpoint"] in _column(caller, "sd-models", "title")
    assert "forge_preset" not in options


def test_the_model_is_set_and_the_service_is_idle(caller: Caller) -> None:
    (title,) = _column(caller, "sd-models", "title")
    wanted = {"sd_model_checkpoint": title}
    caller.post("/sdapi/v1/options", json=wanted).raise_for_status()
    progress = caller.read("/sdapi/v1/progress")
    assert progress["progress"] == 0.0
    assert progress["state"]["job_count"] == 0


def test_a_picture_is_drawn_from_all_that_the_page_sends(caller: Caller) -> None:
    caller.read("/sdapi/v1/options")
    answer = caller.post("/sdapi/v1/txt2img", json=_asked())
    answer.raise_for_status()
    from_base64(answer.json()["images"][0])
    assert any("save_images" in note for note in answer.json()["notes"])
    assert "secret" not in answer.text


@pytest.mark.slow
def test_an_abort_stops_the_picture_and_the_next_one_is_right(
    slow_service: WebProcess, authorization: str
) -> None:
    asked = _asked(steps=6, seed=3)
    with Caller(slow_service.url, Authorization=authorization) as caller:
        before = caller.post("/sdapi/v1/txt2img", json=asked).json()
        with _begun(slow_service.port, authorization):
            wait_until(lambda: _job_count(caller) == 1, "the picture to begin")
            caller.post("/sdapi/v1/interrupt").raise_for_status()
        wait_until(lambda: _job_count(caller) == 0, "the picture to stop")
        job = caller.read("/api/v1/jobs")["jobs"][0]
        assert job["state"] == "cancelled"
        assert job["step"] < job["steps"]
        after = caller.post("/sdapi/v1/txt2img", json=asked).json()
    assert after["images"] == before["images"]


def _asked(**changed: Any) -> dict[str, Any]:
    """What the page sends: its settings, and the address and password that it has for the service.

    What it has not set is absent.
    """
    return {
        "url": "http://127.0.0.1:8080",
        "auth": "user:secret",
        "prompt": PROMPT,
        "negative_prompt": "lowres, bad anatomy",
        "sampler_name": "DDIM",
        "scheduler": "automatic",
        "steps": 20,
        "cfg_scale": 7,
        "width": 512,
        "height": 512,
        "restore_faces": False,
        "enable_hr": False,
        "hr_upscaler": "Latent",
        "hr_scale": 2,
        "hr_additional_modules": [],
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "override_settings": {"CLIP_stop_at_last_layers": 1},
        "override_settings_restore_afterwards": True,
        "clip_skip": 1,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
        **changed,
    }


def _begun(port: int, authorization: str) -> socket.socket:
    """A connection on which a long picture was asked for."""
    body = json.dumps(_asked(steps=50)).encode()
    head = (
        f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nAuthorization: {authorization}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head.encode() + body)
    return connection


def _job_count(caller: Caller) -> int:
    return caller.read("/sdapi/v1/progress")["state"]["job_count"]


def _column(caller: Caller, path: str, name: str) -> list[str]:
    return [row[name] for row in caller.read(f"/sdapi/v1/{path}")]
