"""`first-picture`, which ends `make up`: three lines, and a second run changes nothing."""

from __future__ import annotations

from pathlib import Path

from model_export.spec import RANDOM_WEIGHTS_MARK
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing


def test_it_prints_the_service_the_picture_and_the_next_command(
    run: CommandLine, server: FakeServing
) -> None:
    ran = run("first-picture", "--prompt", "a star", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"service  {server.endpoint}",
        "picture  out/a-star-1.png",
        'next     make generate PROMPT="a small red circle on white"',
    ]
    assert Path("out/a-star-1.png").is_file()


def test_a_second_run_draws_again_and_leaves_the_file_alone(
    run: CommandLine, server: FakeServing
) -> None:
    first = run("first-picture", "--endpoint", server.endpoint)
    (path,) = Path("out").iterdir()
    written_nanos = path.stat().st_mtime_ns
    assert run("first-picture", "--endpoint", server.endpoint) == first
    assert len(server.rows) == 2
    assert list(Path("out").iterdir()) == [path]
    assert path.stat().st_mtime_ns == written_nanos


def test_another_model_gets_a_file_of_its_own(run: CommandLine, server: FakeServing) -> None:
    run("first-picture", "--prompt", "x", "--endpoint", server.endpoint)
    server.fingerprint = "another"
    for _ in range(2):
        ran = run("first-picture", "--prompt", "x", "--endpoint", server.endpoint)
        assert "picture  out/x-1-2.png" in ran.out
    assert len(list(Path("out").iterdir())) == 2


def test_random_weights_are_warned_about(run: CommandLine, server: FakeServing) -> None:
    server.fingerprint += RANDOM_WEIGHTS_MARK
    ran = run("first-picture", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert "warning: this model has RANDOM WEIGHTS" in ran.err


def test_an_unreachable_service_exits_with_4(run: CommandLine, free_port: int) -> None:
    ran = run("first-picture", "--no-retry", "--endpoint", f"http://127.0.0.1:{free_port}")
    assert ran.code == 4
    assert "`make status`" in ran.error_line
