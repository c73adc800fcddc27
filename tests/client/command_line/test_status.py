"""`status`: is the service up, loading, which model, where; and the exit code for scripts."""

from __future__ import annotations

import pytest

from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing, document


def versions(*states: tuple[str, str]) -> tuple[int, bytes]:
    status = {"error_code": "OK", "error_message": ""}
    return document(
        200,
        {
            "model_version_status": [
                {"version": version, "state": state, "status": status} for version, state in states
            ]
        },
    )


def test_a_ready_service_exits_with_0(run: CommandLine, server: FakeServing) -> None:
    ran = run("status", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.err == ""
    assert [line.split(maxsplit=1) for line in ran.out.splitlines()[:3]] == [
        ["state", "ready"],
        ["endpoint", server.endpoint],
        ["model", "stable-diffusion, version 1"],
    ]


def test_the_newest_version_that_serves_is_shown(run: CommandLine, server: FakeServing) -> None:
    server.status_reply = versions(("9", "AVAILABLE"), ("10", "AVAILABLE"), ("11", "LOADING"))
    assert "version 10" in run("status", "--endpoint", server.endpoint).out


@pytest.mark.parametrize("state", ["START", "LOADING"])
def test_a_loading_service_exits_with_5(run: CommandLine, server: FakeServing, state: str) -> None:
    server.state = state
    ran = run("status", "--endpoint", server.endpoint)
    assert ran.code == 5
    assert "still loading" in ran.error_line
    assert ran.out == ""


@pytest.mark.parametrize("state", ["UNLOADING", "END"])
def test_an_unloaded_model_exits_with_4(run: CommandLine, server: FakeServing, state: str) -> None:
    server.state = state
    ran = run("status", "--endpoint", server.endpoint)
    assert ran.code == 4
    assert "no available version of 'stable-diffusion'" in ran.error_line


def test_an_unreachable_service_exits_with_4(run: CommandLine, free_port: int) -> None:
    ran = run("status", "--endpoint", f"http://127.0.0.1:{free_port}")
    assert ran.code == 4
    assert "connection refused" in ran.error_line


def test_an_unknown_model_exits_with_4(run: CommandLine, server: FakeServing) -> None:
    ran = run("status", "--endpoint", server.endpoint, "--model-name", "other")
    assert ran.code == 4
    assert "serves no model 'other'" in ran.error_line


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"{}",
        b"[" * 100_000,
        b'{"model_version_status": 1}',
        b'{"model_version_status": []}',
        b'{"model_version_status": [{"version": "x", "state": "AVAILABLE"}]}',
        b'{"model_version_status": [{"version": "1", "state": "PAINTING"}]}',
        b'{"model_version_status": [{"version": "1", "state": "END", "status": 7}]}',
    ],
)
def test_a_server_that_is_not_tf_serving_exits_with_4(
    run: CommandLine, server: FakeServing, content: bytes
) -> None:
    server.status_reply = (200, content)
    ran = run("status", "--endpoint", server.endpoint)
    assert ran.code == 4
    assert "check that TF Serving" in ran.error_line
