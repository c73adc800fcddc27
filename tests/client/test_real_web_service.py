"""The client and `python -m web` together, over real sockets, before a stub of a model server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from client import AsyncClient, Client, Protocol, QueueFullError
from client.stacks import starting
from client.transports.progress import PictureProgress
from prediction import png
from tests.client.commands import CommandLine
from tests.client.local_stack import LocalStack, port_of
from tests.processes import free_ports, wait_until
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

QUEUE = 2


@pytest.fixture(scope="module")
def stub() -> Iterator[StubModelServer]:
    with StubModelServer() as model_server:
        yield model_server


@pytest.fixture(scope="module")
def web(stub: StubModelServer) -> Iterator[WebProcess]:
    with WebProcess([stub.endpoint], [f"--queue={QUEUE}"]) as service:
        yield service.wait_for_model()


@pytest.fixture(autouse=True)
def as_it_was(stub: StubModelServer) -> Iterator[None]:
    yield
    stub.behaviour = Behaviour()


@pytest.fixture(scope="module")
def slow() -> Iterator[tuple[StubModelServer, str]]:
    """A model server that needs 0.1 s a step, and the address of its web service."""
    with (
        StubModelServer(Behaviour(seconds_per_step=0.1)) as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        yield stub, web.wait_for_model().url


@pytest.fixture
def client(web: WebProcess) -> Iterator[Client]:
    with Client(web.url, protocol=Protocol.WEB, timeout_seconds=60) as made:
        yield made


def test_every_command_works_against_the_stack_with_a_web_service(
    run: CommandLine,
    web: WebProcess,
    stub: StubModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = LocalStack(tmp_path)
    stack.with_web_service(web.url, "http://127.0.0.1:9", stub.endpoint)
    stack.record("web", "web", [web.port, port_of(web.metrics_url.removesuffix("/metrics"))])
    recorded = starting._recorded
    monkeypatch.setattr(starting, "_recorded", lambda folder, _root: recorded(folder, tmp_path))
    monkeypatch.setenv("PATH", str(stack.tools.path))
    monkeypatch.setenv("ENGINE", "pulumi")

    ran = run("first-picture", "--prompt", "a star")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0] == f"page     {web.url}"
    assert run("first-picture", "--prompt", "a star") == ran, "nothing in the file changes"
    ran = run("again", "out/a-star-1.png")
    assert ran.out.endswith("pixels  equal\n"), ran.err
    ran = run("load", "-n", "20", "-c", "2", "--record", "recorded")
    assert ran.code == 0, ran.err
    assert (
        'web_queued_jobs{job="diffusion-serving"} 0.0 ' in Path("recorded/samples.txt").read_text()
    )
    assert "[200]         20 responses" in ran.out
    out = run("status").out
    assert "web service  ready, 0 queued, 0 drawing, " in out
    assert "latency      23 jobs, " in out


def test_any_address_of_it_is_found_to_be_a_web_service(
    run: CommandLine, web: WebProcess, stub: StubModelServer
) -> None:
    drawn = stub.calls["begin"]
    for number, path in enumerate(("", "/v1", "/sdapi/v1/txt2img"), start=1):
        ran = run("generate", "x", "--endpoint", web.url + path)
        assert ran.code == 0, ran.err
        assert stub.calls["begin"] == drawn + number


def test_the_picture_is_the_model_servers(client: Client, stub: StubModelServer) -> None:
    request = client.prepare("a ☆", negative_prompt="röt", num_steps=7, guidance_scale=5.5, seed=9)
    picture = client.send(request)
    assert png.same_pixels(picture.png, stub.picture(request))
    assert (picture.seed, picture.num_steps, picture.prompt_tokens) == (9, 7, 4)
    assert picture.fingerprint == stub.behaviour.fingerprint


def test_real_steps_are_told(slow: tuple[StubModelServer, str]) -> None:
    told: list[PictureProgress] = []
    with Client(slow[1]) as client:
        client.generate("x", num_steps=20, seed=1, watch=told.append)
    steps = [progress.step for progress in told]
    assert steps == sorted(steps)
    assert {progress.steps for progress in told} == {20}
    assert any(0 < step < 20 for step in steps)


def test_after_an_interrupted_picture_the_next_one_is_right_and_does_not_wait_for_it(
    slow: tuple[StubModelServer, str],
) -> None:
    def interrupt(progress: PictureProgress) -> None:
        if progress.step:
            raise KeyboardInterrupt

    stub, url = slow
    with Client(url) as client:
        request = client.prepare("y", seed=2)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.generate("x", num_steps=50, seed=1, watch=interrupt)
        assert png.same_pixels(client.send(request).png, stub.picture(request))
    assert time.monotonic() - started < 4, "the first one would take 5 s"


def test_a_full_queue_refuses_with_a_time_and_all_get_their_picture_in_the_end(
    web: WebProcess, client: Client, stub: StubModelServer
) -> None:
    stub.behaviour.seconds_per_picture = 0.3
    requests = [replace(client.prepare("x"), seed=seed) for seed in range(QUEUE + 4)]

    async def draw() -> None:
        async with AsyncClient(Client(web.url, timeout_seconds=60)) as many:
            await many.describe()
            sent = [many.send(request) for request in requests]
            answers = await asyncio.gather(*sent, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, QueueFullError)]
            assert len(refused) == len(requests) - QUEUE - 1
            assert all(1 <= answer.retry_after_seconds <= 60 for answer in refused)
            again = [many.generate("x", seed=request.seed) for request in requests]
            assert len(await asyncio.gather(*again)) == len(requests)

    asyncio.run(draw())


def test_a_service_that_is_killed_in_mid_picture_draws_it_after_its_restart(
    stub: StubModelServer,
) -> None:
    stub.behaviour.seconds_per_step = 0.05
    (port,) = free_ports(1)
    options = [f"--port={port}"]
    drawing = threading.Event()
    pictures: list[bytes] = []

    def watch(progress: PictureProgress) -> None:
        if progress.step:
            drawing.set()

    def draw() -> None:
        with Client(f"http://127.0.0.1:{port}", timeout_seconds=60) as client:
            pictures.append(client.generate("x", num_steps=20, seed=1, watch=watch).png)

    with WebProcess([stub.endpoint], options) as first:
        first.wait_for_model()
        thread = threading.Thread(target=draw, daemon=True)
        thread.start()
        assert drawing.wait(30)
        first.process.kill()
        first.process.wait()
    with WebProcess([stub.endpoint], options):
        wait_until(lambda: bool(pictures), "the picture", 30)
    thread.join(10)
