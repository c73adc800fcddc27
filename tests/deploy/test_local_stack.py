"""Whole deployments of the stack `local`, from `make up` to `make down`."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.deploy.checkout import Checkout, copy_checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ENGINES = ["embedded", "pulumi"]


@pytest.fixture(params=ENGINES)
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkout]:
    if request.param == "pulumi" and shutil.which("pulumi") is None:
        pytest.skip("the official pulumi CLI is not on PATH")
    made = copy_checkout(tmp_path / "checkout", request.param)
    yield made
    if (made.folder / ".state").exists():
        made.make("down")


def ask(checkout: Checkout, prompt: str) -> Image.Image:
    """The picture for a prompt, through the REST API like the README's curl command."""
    body = json.dumps({"inputs": {"prompt": [prompt]}, "signature_name": "prompt"})
    url = f"http://127.0.0.1:{checkout.rest_port}/v1/models/stable-diffusion:predict"
    with urllib.request.urlopen(url, data=body.encode(), timeout=60) as answer:
        outputs = json.load(answer)["outputs"]
    return Image.open(io.BytesIO(base64.b64decode(outputs["image_bytes"][0]["b64"])))


def ask_web(checkout: Checkout, prompt: str) -> Image.Image:
    """The picture for a prompt, through AUTOMATIC1111's API."""
    url = f"http://127.0.0.1:{checkout.web_port}/sdapi/v1/txt2img"
    body, headers = json.dumps({"prompt": prompt}).encode(), {"Content-Type": "application/json"}
    asked = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return Image.open(io.BytesIO(base64.b64decode(json.load(answer)["images"][0])))


def test_a_local_stack_from_up_to_down(checkout: Checkout) -> None:
    first = checkout.make("up")
    lines = first.strip().splitlines()[-3:]
    assert lines[0].split() == ["page", f"http://127.0.0.1:{checkout.web_port}"]
    picture = checkout.folder / lines[1].split()[1]
    assert Image.open(picture).size == (64, 64)
    assert lines[2].startswith("next     make generate PROMPT=")
    assert ask(checkout, "a small green square on white").size == (64, 64)
    assert ask_web(checkout, "a small green square on white").size == (64, 64)

    pid, web = checkout.server_pid(), checkout.web_pid()
    started = time.monotonic()
    again = checkout.make("up")
    assert "unchanged" in again and "created" not in again and "updated" not in again
    assert (checkout.server_pid(), checkout.web_pid()) == (pid, web)
    assert time.monotonic() - started < 60

    psutil.Process(pid).kill()
    revived = checkout.make("up")
    assert lines[0] in revived
    assert checkout.server_pid() != pid
    ask(checkout, "a circle")

    old = checkout.models()
    checkout.set("steps", 4)
    checkout.make("up")
    assert len(checkout.models()) == 1
    assert checkout.models() != old
    ask(checkout, "a star")
    ask_web(checkout, "a star")
    assert checkout.web_pid() == web  # it finds a server and a model that come later

    status = checkout.make("status")
    assert "state        ready" in status
    assert " s on average in the server" in status
    assert "draws        demo, 64 px, 4 steps, guidance scale 3, " in status
    assert f"fingerprint  {checkout.models()[0]}\n" in status
    drawn = checkout.make("generate", PROMPT='a "red" $circle')
    assert "seed" in drawn
    assert "3 of 3 sent (100.0 %)" in checkout.make("load", ARGS="-n 3 -c 2 --steps 2")

    checkout.make("down")
    assert not (checkout.folder / ".state").exists()
    assert checkout.processes() == []
    assert (checkout.folder / "Pulumi.local.yaml").exists()
    assert list((checkout.folder / "out").glob("*.png"))
    checkout.make("down")


@pytest.mark.long  # tests/infra/local/test_ports.py has the error
def test_ports_in_use_are_one_clear_error_before_the_export_and_the_next_up_works(
    checkout: Checkout, demo_model: Path
) -> None:
    import socket

    ports = (checkout.rest_port, checkout.web_port)
    with socket.create_server(("127.0.0.1", ports[0])):
        one = checkout.make("preview", code=2)
        with socket.create_server(("127.0.0.1", ports[1])):
            both = checkout.make("up", code=2)
    assert f"port {ports[0]} is in use by another program" in one
    assert f"ports {ports[0]} and {ports[1]} are in use by other programs" in both
    # As lines to put into the file, below the engine's own indentation of messages.
    assert "\n      diffusion-serving:restPort: " in both
    assert "\n      diffusion-serving:webPort: " in both
    assert checkout.models() == []
    checkout.add_model(demo_model)
    checkout.make("up")
    ask(checkout, "a circle")


def test_another_stack_without_the_official_cli_is_refused_in_one_line_with_the_remedy(
    checkout: Checkout,
) -> None:
    output = checkout.make("up", code=2, STACK="dev", ENGINE="embedded")
    lines = [line for line in output.splitlines() if not line.startswith("make: ")]
    assert len(lines) == 1
    assert 'stack "dev" needs the official Pulumi CLI' in lines[0]
    assert "https://www.pulumi.com/docs/install/" in lines[0]


def interrupt_and_converge(checkout: Checkout, times: int, seed: int) -> None:
    """Stop `make up` at random times, by Ctrl-C and SIGKILL in turn; then it must converge."""
    rng = random.Random(seed)
    for turn in range(times):
        process = checkout.start("up")
        deadline = time.monotonic() + rng.uniform(0.5, 45)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is None:
            if turn % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
        for model in checkout.models():
            folder = checkout.folder / ".state/models" / model
            if not model.startswith(".") and (folder / "1/saved_model.pb").exists():
                assert (folder / "1/variables/variables.index").exists()
        if turn % 3 == 2:
            checkout.make("down")
    checkout.make("up")
    ask(checkout, "a blue star")
    checkout.make("down")
    checkout.stop_orphaned_plugins()
    assert checkout.processes() == []
    assert not (checkout.folder / ".state").exists()


@pytest.mark.long  # tests/engine/deployment/test_failure.py interrupts smaller stacks
def test_interrupted_ups_converge(checkout: Checkout) -> None:
    interrupt_and_converge(checkout, times=2, seed=1)


@pytest.mark.long
def test_ten_interrupted_ups_converge(checkout: Checkout) -> None:
    interrupt_and_converge(checkout, times=10, seed=2)
