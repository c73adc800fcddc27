"""`first-picture`, which ends `make up`: three lines, and a second run changes nothing."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from client.command_line import first_answer
from client.stacks import domain
from model_export.reported import RANDOM_WEIGHTS_MARK
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing
from tests.client.fake_web import FakeWeb
from tests.client.stub_tools import StubTools


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


def on_a_cluster(tools: StubTools, endpoint: str) -> None:
    """Makes that the address of the stack `dev`."""
    outputs = stub_tools.outputs(endpoint)
    tools.answer("pulumi", "stack output --json --stack dev", outputs)


def test_a_new_load_balancer_is_waited_for_until_it_forwards(
    run: CommandLine, tools: StubTools, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[FakeServing] = []
    forwarding = threading.Timer(0.5, lambda: started.append(FakeServing(free_port)))
    monkeypatch.setattr(first_answer, "_POLL_SECONDS", 0.05)
    on_a_cluster(tools, f"http://127.0.0.1:{free_port}")
    forwarding.start()
    try:
        ran = run("first-picture", "--stack", "dev")
    finally:
        forwarding.join()
        started[0].close()
    assert ran.code == 0
    assert ran.error_line == (
        f"http://127.0.0.1:{free_port} does not answer yet: a new load balancer needs about 2 "
        "minutes; waiting for it (--no-wait gives up)"
    )
    assert ran.out.splitlines()[2] == (
        'next     make generate STACK=dev PROMPT="a small red circle on white"'
    )


def test_the_wait_for_a_load_balancer_shows_an_estimate_and_then_a_hint() -> None:
    def line(seconds: float) -> str:
        return first_answer.progress_line("http://203.0.113.7:8501", seconds, 600)

    assert line(40) == "waiting for http://203.0.113.7:8501, 40 s, about 80 s left"
    assert line(150) == (
        "waiting for http://203.0.113.7:8501, 150 s of at most 600; do allowedSourceRanges include "
        "your address?"
    )


def test_the_wait_for_a_load_balancer_ends_and_names_doctor_for_the_stack(
    run: CommandLine, tools: StubTools, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first_answer.LONGEST_SECONDS == 600
    on_a_cluster(tools, f"http://127.0.0.1:{free_port}")
    monkeypatch.setattr(first_answer, "_POLL_SECONDS", 0.01)
    ran = run("first-picture", "--stack", "dev", "--timeout", "0.1")
    assert ran.code == 4
    assert ran.err.splitlines()[1].startswith("error: no response from")
    assert "allowedSourceRanges" in ran.err and "`make doctor STACK=dev`" in ran.err


def test_ctrl_c_ends_the_wait_for_a_load_balancer(
    run: CommandLine, tools: StubTools, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [lambda: False, lambda: signal.raise_signal(signal.SIGINT)]
    monkeypatch.setattr(first_answer, "_answers", lambda _client: answers.pop(0)())
    monkeypatch.setattr(first_answer, "_POLL_SECONDS", 0.01)
    on_a_cluster(tools, f"http://127.0.0.1:{free_port}")
    ran = run("first-picture", "--stack", "dev")
    assert (ran.code, ran.err.splitlines()[-1]) == (130, "interrupted")


@pytest.mark.parametrize("option", ["--no-wait", "--no-retry"])
def test_no_wait_does_not_wait_for_a_load_balancer(
    run: CommandLine, tools: StubTools, free_port: int, option: str
) -> None:
    on_a_cluster(tools, f"http://127.0.0.1:{free_port}")
    ran = run("first-picture", "--stack", "dev", option)
    assert ran.code == 4
    assert "`make status STACK=dev`" in ran.error_line


def test_a_model_that_is_loaded_late_is_an_answer_and_no_load_balancers_fault(
    run: CommandLine, tools: StubTools, server: FakeServing
) -> None:
    server.state = "LOADING"
    ran = run("first-picture", "--stack", "dev", "--timeout", "0.5")
    assert ran.code == 5
    assert "load balancer" not in ran.err


def test_the_local_stack_waits_for_no_load_balancer(
    run: CommandLine, tools: StubTools, free_port: int
) -> None:
    outputs = {"endpoint": f"http://127.0.0.1:{free_port}"}
    tools.answer("pulumi", "stack output --json --stack local", outputs)
    ran = run("first-picture", "--timeout", "0.1")
    assert ran.code == 4
    assert "load balancer" not in ran.err


def test_a_public_page_without_a_key_is_shown_and_no_picture_is_drawn(
    run: CommandLine, tools: StubTools, web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {**stub_tools.outputs(web.endpoint), "page": web.endpoint}
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    ran = run("first-picture", "--stack", "dev")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"page     {web.endpoint}",
        "next     draw with a key: in DIFFUSION_API_KEY, or on the page",
    ]
    monkeypatch.setenv("DIFFUSION_API_KEY", "a-key-of-the-stack-s")
    ran = run("first-picture", "--stack", "dev")
    assert ran.out.splitlines()[1].startswith("picture  out/")


def with_domain(tools: StubTools, endpoint: str, address: str = "203.0.113.7") -> None:
    """Gives the stack `dev` a domain, at which this endpoint is."""
    outputs = {**stub_tools.outputs(endpoint), "page": endpoint, "address": address}
    tools.answer("pulumi", "stack output --json --stack dev", outputs)


def test_a_domain_that_does_not_lead_anywhere_yet_is_said_with_its_record_and_not_waited_for(
    run: CommandLine, tools: StubTools, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_addresses", lambda _name: set())
    with_domain(tools, f"http://localhost:{free_port}")
    ran = run("first-picture", "--stack", "dev")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"page     http://localhost:{free_port}",
        "next     localhost has no address: in your DNS, give localhost an A record with "
        "203.0.113.7; then Google makes the certificate, within 60 minutes; `make doctor "
        "STACK=dev` says how far it is",
    ]


def test_a_domain_without_a_certificate_yet_is_said(
    run: CommandLine, tools: StubTools, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_addresses", lambda _name: {"203.0.113.7"})
    with_domain(tools, f"http://localhost:{free_port}")
    ran = run("first-picture", "--stack", "dev")
    assert (ran.code, ran.out.splitlines()[1:]) == (
        0,
        [
            "next     Google makes the certificate, within 60 minutes; `make doctor STACK=dev` "
            "says how far it is"
        ],
    )


def test_at_a_domain_that_answers_a_picture_is_drawn(
    run: CommandLine, tools: StubTools, web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFUSION_API_KEY", "a-key-of-the-stack-s")
    with_domain(tools, web.endpoint)
    ran = run("first-picture", "--stack", "dev")
    assert ran.out.splitlines()[1].startswith("picture  out/")


def test_a_private_web_service_is_said_with_the_way_to_it(
    run: CommandLine, tools: StubTools
) -> None:
    outputs = stub_tools.outputs("")
    del outputs["grpcEndpoint"]
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    way = "type `make page STACK=dev`, and in another terminal give --endpoint"
    ran = run("first-picture", "--stack", "dev")
    assert (ran.code, ran.err) == (0, "")
    (line,) = ran.out.splitlines()
    assert line.startswith("service  the stack's web service is private")
    assert line.endswith(f"{way} http://127.0.0.1:8080")
    del outputs["endpoint"]
    tools.answer("pulumi", "stack output --json --stack dev", outputs)
    for command in (["status"], ["generate", "x"], ["load", "-n", "1"], ["first-picture"]):
        ran = run(*command, "--stack", "dev")
        assert ran.code == (0 if command == ["first-picture"] else 4)
        assert way in (ran.out + ran.err)
        assert len((ran.out + ran.err).splitlines()) == 1
