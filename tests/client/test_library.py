"""The Python API, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import client
from client import (
    Client,
    ClientError,
    InputRefusedError,
    Limits,
    ModelState,
    PictureRequest,
    QueueFullError,
)
from client.exit_codes import EXIT_CODES, exit_code
from client.stacks.discovery import PROJECT_ROOT, limits_of
from model_export.spec import SEED_LIMIT
from prediction.answer import Answer
from prediction.description import Answers
from prediction.model_status import ModelStatus
from tests.client.fake_serving import (
    DESCRIPTION,
    FINGERPRINT,
    QUEUE_FULL,
    FakeServing,
    error,
    picture_png,
)


def test_a_picture_has_all_values_it_was_drawn_with(server: FakeServing) -> None:
    with Client(server.endpoint) as service:
        picture = service.generate(
            "a red circle", negative_prompt="blue", num_steps=9, guidance_scale=2, seed=1
        )
    assert picture.png == picture_png(server.rows[0])
    assert (picture.prompt, picture.negative_prompt) == ("a red circle", "blue")
    assert (picture.seed, picture.num_steps, picture.guidance_scale) == (1, 9, 2)
    assert (picture.prompt_tokens, picture.truncated) == (5, False)
    assert picture.fingerprint == FINGERPRINT
    assert 0 < picture.seconds < 30


def test_one_client_sends_many_requests(server: FakeServing) -> None:
    service = Client(server.endpoint)
    assert service.status() == ModelStatus(ModelState.READY, "1")
    seeds = {service.generate("x").seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < SEED_LIMIT for seed in seeds)
    service.close()


def test_every_failure_is_a_client_error(server: FakeServing) -> None:
    server.predict_reply = error(503, QUEUE_FULL)
    with pytest.raises(QueueFullError) as raised:
        Client(server.endpoint, retry=False).generate("x")
    assert isinstance(raised.value, ClientError)


def test_limits_are_checked_by_the_library_as_well(server: FakeServing) -> None:
    with pytest.raises(InputRefusedError, match="from 1 to 5, not 6"):
        Client(server.endpoint, limits=Limits(max_steps=5)).generate("x", num_steps=6)
    assert server.rows == []


def test_any_transport_can_carry_the_requests() -> None:
    class InMemory:
        def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
            return Answer(b"png", request.seed, request.num_steps, 3, False, f"{timeout_seconds}")

        def describe(self, timeout_seconds: float) -> Answers:
            return [("in memory", json.dumps(DESCRIPTION))]

        def model_status(self, timeout_seconds: float) -> ModelStatus:
            return ModelStatus(ModelState.LOADING, "2")

        def close(self) -> None:
            pass

    service = Client("in memory", transport=InMemory(), timeout_seconds=3)
    assert service.generate("x", seed=4).seed == 4
    assert 2.9 < float(service.generate("x").fingerprint) <= 3
    assert service.status().state is ModelState.LOADING


def test_every_exported_error_has_an_exit_code() -> None:
    errors = [
        value
        for value in (getattr(client, name) for name in client.__all__)
        if isinstance(value, type) and issubclass(value, ClientError) and value is not ClientError
    ]
    assert len(errors) == 11
    assert {exit_code(kind("x")) for kind in errors} == set(EXIT_CODES.values())


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    """TensorFlow and Pulumi never; the libraries for HTTP, pictures and the like when needed."""
    program = (
        "import sys, client; from client.command_line.cli import COMMANDS, build_parser; "
        "build_parser(COMMANDS); "
        "print({'tensorflow', 'pulumi', 'numpy', 'grpc', 'requests', 'rich', 'PIL', 'tenacity', "
        "'prometheus_client', 'httpx', 'asyncio'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "set()\n", ran.stderr


def test_help_has_an_example_and_the_exit_codes() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "client", "generate", "--help"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert 'python -m client generate "a small red circle on white"' in ran.stdout
    for code in ("0", "2", "3", "4", "5", "6", "7", "130"):
        assert f"\n  {code:4} " in ran.stdout


def test_the_stacks_negative_prompt_is_used_unless_another_is_given(server: FakeServing) -> None:
    limits = limits_of({"defaultNegativePrompt": "blurry"})
    client = Client(server.endpoint, limits=limits)
    assert client.prepare("a circle").negative_prompt == "blurry"
    assert client.prepare("a circle", negative_prompt="").negative_prompt == ""
