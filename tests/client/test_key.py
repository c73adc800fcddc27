"""The client before a web service that asks for a key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client import AsyncClient, Client, InputRefusedError, KeyRefusedError, Protocol, QueueFullError
from client.command_line.first_answer import wait_for_answer
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing
from tests.processes import wait_until
from tests.web.keys import ALICE, BOB, WRONG, write
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

VARIABLE = "DIFFUSION_API_KEY"


@pytest.fixture(scope="module")
def stub() -> Iterator[StubModelServer]:
    with StubModelServer() as model_server:
        yield model_server


@pytest.fixture(scope="module")
def url(stub: StubModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = write(tmp_path_factory.mktemp("keys") / "keys.json", ("alice", ALICE), ("bob", BOB))
    options = [f"--keys-file={keys}", "--jobs-per-key=1"]
    with WebProcess([stub.endpoint], options) as web:
        wait_until(lambda: web.get("/ready").status_code == 200, "the model")
        yield web.url


@pytest.mark.parametrize("transport", [[], ["--transport", "web"]])
@pytest.mark.parametrize("command", [["generate", "a"], ["status"], ["load", "-n2", "-c1"]])
def test_every_command_sends_the_key_of_the_environment(
    command: list[str],
    transport: list[str],
    url: str,
    run: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, f" {ALICE}\n")  # as a file's text may be
    ran = run(*command, "--endpoint", url, *transport)
    assert ran.code == 0, ran.out + ran.err
    assert ALICE not in ran.out + ran.err


@pytest.mark.parametrize("command", [["generate", "a"], ["status"]])
@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, f"asks for a key: set {VARIABLE} to yours"),
        ("", f"asks for a key: set {VARIABLE} to yours"),
        (WRONG, f"does not know the key in {VARIABLE}: ask whoever runs it for yours"),
    ],
)
def test_a_missing_or_wrong_key_is_one_line_that_says_what_to_do(
    key: str | None,
    said: str,
    command: list[str],
    url: str,
    run: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if key is not None:
        monkeypatch.setenv(VARIABLE, key)
    for transport in ([], ["--transport", "web"]):
        ran = run(*command, "--endpoint", url, *transport)
        assert ran.code == 4
        assert f"{url} {said}" in ran.error_line
        assert WRONG not in ran.err


@pytest.mark.parametrize("key", ["two words", "ключ", "a\nb"])
def test_what_can_be_no_key_is_not_sent(
    key: str, url: str, run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    ran = run("status", "--endpoint", url)
    assert ran.code == 3
    assert f"{VARIABLE} has a space or another character" in ran.error_line
    assert key not in ran.err


def test_coroutines_send_the_key_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def draw() -> None:
        async with AsyncClient(Client(url, protocol=Protocol.WEB)) as client:
            assert (await client.generate("a")).png

    monkeypatch.setenv(VARIABLE, ALICE)
    asyncio.run(draw())
    monkeypatch.setenv(VARIABLE, WRONG)
    with pytest.raises(KeyRefusedError):
        asyncio.run(draw())


def test_a_netrc_file_does_not_overrule_the_key(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login me password {WRONG}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(VARIABLE, ALICE)
    # On loopback nothing is read from the environment.
    for name in ("http_connections", "http_connections_async"):
        monkeypatch.setattr(f"client.transports.{name}.is_loopback", lambda _endpoint: False)

    async def draw() -> None:
        async with AsyncClient(Client(url, protocol=Protocol.WEB)) as client:
            assert (await client.generate("b")).png

    with Client(url, protocol=Protocol.WEB) as client:
        assert client.generate("b").png
    asyncio.run(draw())


def test_a_refused_key_is_an_answer_to_those_who_wait_for_one(url: str) -> None:
    with Client(url) as client:
        assert wait_for_answer(client, "mine", limit_seconds=0) == 0.0


def test_a_model_server_never_gets_the_key(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By --transport rest; an address that does not say what it is gets it with one question."""
    monkeypatch.setenv(VARIABLE, ALICE)
    sent: list[requests.PreparedRequest] = []
    send = requests.Session.send

    def watched(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        sent.append(request)
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", watched)
    with Client(server.endpoint, protocol=Protocol.REST) as client:
        client.generate("a")
    assert sent
    assert not [request for request in sent if ALICE in str(request.headers)]


def test_too_many_jobs_of_one_key_are_a_full_queue(
    url: str, stub: StubModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, ALICE)

    async def both() -> list[object]:
        made = Client(url, protocol=Protocol.WEB, retry=False)
        async with AsyncClient(made) as client:
            calls = [client.generate("a", num_steps=20) for _ in range(2)]
            return list(await asyncio.gather(*calls, return_exceptions=True))

    stub.behaviour = Behaviour(seconds_per_step=0.05)
    try:
        [refused] = [result for result in asyncio.run(both()) if isinstance(result, Exception)]
    finally:
        stub.behaviour = Behaviour()
    assert isinstance(refused, QueueFullError)
    assert refused.status == "429"
    assert "1 job of yours" in str(refused)
    assert 1 <= refused.retry_after_seconds <= 60


def test_the_help_names_the_variable(run: CommandLine) -> None:
    assert VARIABLE in run("--help").out


def test_a_key_that_cannot_be_one_is_an_input_that_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "two words")
    with pytest.raises(InputRefusedError):
        Client(url)
