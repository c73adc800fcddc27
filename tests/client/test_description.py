"""The served model says its limits and defaults; what it does not is assumed, with a warning."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client import (
    AsyncClient,
    Client,
    InputRefusedError,
    Limits,
    ModelLoadingError,
    UnreachableError,
)
from model_export.description import description
from model_export.spec import ModelSpec
from prediction.description import DescriptionError, Served, judge, read
from prediction.errors import QueueFullError
from tests.client.commands import CommandLine
from tests.client.fake_rpc import FakeRpc
from tests.client.fake_serving import DESCRIPTION, FakeServing
from tests.client.stub_tools import StubTools

SD14 = ModelSpec.for_family("sd14", weights="random", steps=30, max_steps=40)
SAID: dict[str, Any] = json.loads(description(SD14, "f00d"))


@pytest.fixture
def rpc(server: FakeServing) -> Iterator[FakeRpc]:
    serving = FakeRpc(server)
    yield serving
    serving.close()


@pytest.fixture(params=["rest", "grpc"])
def endpoint(request: pytest.FixtureRequest, server: FakeServing, rpc: FakeRpc) -> str:
    return server.endpoint if request.param == "rest" else rpc.endpoint


@pytest.fixture
def two(server: FakeServing) -> Iterator[tuple[FakeServing, FakeServing]]:
    other = FakeServing()
    yield server, other
    other.close()


def test_the_command_line_draws_with_the_served_models_own_defaults(
    endpoint: str, server: FakeServing, run: CommandLine
) -> None:
    server.described = SAID
    ran = run("generate", "a castle", "--endpoint", endpoint)
    assert (ran.code, ran.err) == (0, "")
    (row,) = server.rows
    assert row["num_steps"] == 30
    assert row["guidance_scale"] == 7.5
    assert row["negative_prompt"] == SD14.negative_prompt


def test_the_models_limits_are_those_that_count(endpoint: str, server: FakeServing) -> None:
    server.described = SAID
    stack = Limits(max_steps=50, default_steps=5, queue=3, request_timeout_seconds=9.0)
    with Client(endpoint, limits=stack) as client:
        with pytest.raises(InputRefusedError, match="from 1 to 40, not 41"):
            client.prepare("x", num_steps=41)
        assert client.prepare("x").num_steps == 30
        assert (client.limits.image_size, client.limits.default_guidance_scale) == (
            384,
            7.5,
        )
        # The model does not know these two: the server's settings.
        assert (client.limits.queue, client.limits.request_timeout_seconds) == (3, 9.0)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_that_was_replaced_is_asked_again(
    endpoint: str, server: FakeServing, is_async: bool
) -> None:
    """The first picture of another model shows that it is another."""
    said = {**DESCRIPTION, "fingerprint": "f00d", "limits": {"defaultSteps": 7}}

    def replace() -> None:
        server.described, server.fingerprint = said, "f00d"

    async def draw(client: Client) -> None:
        async with AsyncClient(client) as several:
            await several.generate("x")
            replace()
            for _ in range(3):
                await several.generate("x")

    with Client(endpoint) as client:
        if is_async:
            asyncio.run(draw(client))
        else:
            client.generate("x")
            replace()
            for _ in range(3):
                client.generate("x")
    assert [row["num_steps"] for row in server.rows] == [20, 20, 7, 7]
    assert server.times_described == 2


def test_a_model_is_asked_once_per_client(endpoint: str, server: FakeServing) -> None:
    with Client(endpoint) as client:
        assert server.times_described == 0
        client.generate("x")
        client.generate("y")
        told = client.describe()
    assert server.times_described == 1
    assert told is not None and (told.family, told.samplers) == ("demo", ("dpmpp_2m_trailing",))


def test_coroutines_that_start_together_ask_once(endpoint: str, server: FakeServing) -> None:
    server.described = SAID

    async def draw() -> list[int]:
        async with AsyncClient(Client(endpoint)) as client:
            pictures = await asyncio.gather(*(client.generate("x") for _ in range(4)))
        return [picture.num_steps for picture in pictures]

    assert asyncio.run(draw()) == [30] * 4
    assert server.times_described == 1


def test_an_older_export_is_served_with_one_warning_and_the_former_defaults(
    endpoint: str, server: FakeServing, run: CommandLine
) -> None:
    server.described = None
    ran = run("generate", "a castle", "--count", "2", "--endpoint", endpoint)
    assert ran.code == 0
    assert ran.error_line == (
        f"warning: the model at {endpoint} does not say what it is (an older export): assuming "
        "20 steps, guidance scale 3 and the negative prompt ''"
    )
    assert [row["guidance_scale"] for row in server.rows] == [3.0, 3.0]


def test_the_library_warns_of_an_older_export(server: FakeServing) -> None:
    server.described = None
    with pytest.warns(UserWarning, match="an older export"), Client(server.endpoint) as client:
        assert client.generate("x").num_steps == ModelSpec.steps
        assert client.describe() is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda said: {**said, "format": 2}, "its format is 2"),
        (lambda said: {**said, "format": "\x1b[1m"}, r"its format is '\x1b[1m'"),
        (lambda said: "", "it is not JSON"),
        (lambda said: "[1]", "list indices must be integers or slices, not str"),
        (lambda said: "[" * 100_000, None),
        (lambda said: {"format": 1}, "it has no key 'limits'"),
        (lambda said: {**said, "limits": 3}, None),
        (lambda said: {**said, "limits": {"maxSteps": "50"}}, "maxSteps is not a number"),
        (lambda said: {**said, "limits": {"maxSteps": -1}}, "maxSteps cannot be -1"),
        (lambda said: json.dumps(said).replace("7.5", "NaN"), "defaultGuidanceScale cannot be nan"),
        (
            lambda said: json.dumps(said).replace("7.5", "9" * 400),
            "defaultGuidanceScale cannot be 9",
        ),
        (lambda said: {**said, "limits": {"maxSteps": 0}}, "steps must be from 1 to 0, not 20"),
        (lambda said: {**said, "samplers": 3}, "'int' object is not iterable"),
        (lambda said: {**said, "family": 3}, "3 is not a text"),
    ],
)
def test_nonsense_is_a_warning_and_never_fatal(
    change: Callable[[Any], Any], reason: str | None, server: FakeServing, run: CommandLine
) -> None:
    server.described = change(SAID)
    ran = run("generate", "a castle", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.error_line.startswith(
        f"warning: the model at {server.endpoint} describes itself unreadably ("
    )
    assert reason is None or reason in ran.error_line
    assert ran.error_line.isprintable()
    assert server.rows[0]["guidance_scale"] == 3.0


def test_keys_that_a_later_model_adds_are_ignored() -> None:
    later = {**SAID, "colours": ["red"], "limits": {**SAID["limits"], "maxPictures": 4}}
    assert read(json.dumps(later), Limits()) == read(json.dumps(SAID), Limits())


def test_a_loading_server_is_loading_and_not_an_older_export(
    endpoint: str, server: FakeServing
) -> None:
    server.state = "LOADING"
    warned: list[str] = []
    with Client(endpoint, warn=warned.append, retry=False) as client:
        with pytest.raises(ModelLoadingError):
            client.generate("x")
        server.state, server.described = "AVAILABLE", SAID
        assert client.prepare("x").num_steps == 30
    assert warned == []


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_an_unreachable_server_is_unreachable(
    scheme: str, free_port: int, run: CommandLine
) -> None:
    address = f"{scheme}://127.0.0.1:{free_port}"
    ran = run("generate", "x", "--endpoint", address, "--no-retry")
    assert ran.code == 4
    assert "warning" not in ran.error_line


def test_of_several_servers_the_first_description_counts_and_a_difference_is_said(
    two: tuple[FakeServing, FakeServing],
) -> None:
    first, second = two
    first.described, second.described = SAID, {**DESCRIPTION}
    warned: list[str] = []
    with Client([first.endpoint, second.endpoint], warn=warned.append) as client:
        assert client.prepare("x").num_steps == 30
    assert warned == [
        f"{second.endpoint} serves another model (0123456789abcdef) than {first.endpoint} (f00d): "
        f"the defaults and limits are those of {first.endpoint}"
    ]


def test_servers_of_the_same_model_are_no_difference(
    two: tuple[FakeServing, FakeServing], free_port: int
) -> None:
    """An unreachable one is no verdict: requests go to the others."""
    warned: list[str] = []
    endpoints = [f"http://127.0.0.1:{free_port}", *(server.endpoint for server in two)]
    with Client(endpoints, warn=warned.append) as client:
        assert client.describe() is not None
    assert [server.times_described for server in two] == [1, 1]
    assert warned == []


def test_without_any_answer_the_first_failure_is_raised() -> None:
    failures = [UnreachableError("a"), QueueFullError("b")]
    with pytest.raises(UnreachableError, match="a"):
        judge([("x", failures[0]), ("y", failures[1])], Limits())


def test_a_server_without_a_description_beside_one_with_it() -> None:
    refused = InputRefusedError("no such signature", status="400")
    served: Served = judge([("x", refused), ("y", json.dumps(SAID))], Limits())
    assert served.limits.default_steps == 30
    (warning,) = served.warnings
    assert warning == (
        "the model at x does not say what it is (an older export): the defaults and limits are "
        "those of y"
    )


def test_what_the_exporter_writes_is_what_the_client_reads() -> None:
    told = read(json.dumps(SAID), Limits())
    assert (told.family, told.fingerprint, told.profile) == ("sd14", "f00d", "exact")
    assert told.precision == "float32" and told.licence == "none (random weights)"
    assert told.limits == Limits(
        max_steps=40,
        image_size=384,
        default_steps=30,
        default_guidance_scale=7.5,
        default_negative_prompt=SD14.negative_prompt,
    )
    with pytest.raises(DescriptionError):
        read("null", Limits())


def test_status_shows_what_is_served_and_not_what_the_stack_recorded(
    endpoint: str, server: FakeServing, run: CommandLine
) -> None:
    server.described = SAID
    ran = run("status", "--endpoint", endpoint)
    assert ran.code == 0, ran.err
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["fingerprint"] == "f00d"
    assert lines["draws"] == (
        "sd14, 384 px, 30 steps, guidance scale 7.5, dpmpp_2m_trailing, exact, float32"
    )


def test_status_says_where_the_stack_recorded_another_model(
    server: FakeServing, tools: StubTools, run: CommandLine
) -> None:
    server.described = SAID
    ran = run("status", "--stack", "dev")
    assert ran.code == 0, ran.err
    assert "fingerprint  f00d (the stack's outputs say 0123456789abcdef)\n" in ran.out


def test_status_shows_the_stacks_fingerprint_of_an_older_export(
    server: FakeServing, tools: StubTools, run: CommandLine
) -> None:
    server.described = None
    ran = run("status", "--stack", "dev")
    assert ran.code == 0, ran.err
    assert "fingerprint  0123456789abcdef\n" in ran.out
    assert "draws" not in ran.out
    assert ran.error_line.startswith("warning: the model at ")


def test_a_negative_prompt_that_was_cut_is_a_warning_as_for_the_prompt(
    endpoint: str, run: CommandLine
) -> None:
    ran = run("generate", "x", "--negative-prompt", "bad " * 80, "--endpoint", endpoint)
    assert ran.code == 0
    assert ran.error_line == (
        "warning: the negative prompt has 82 tokens, but the model reads only the first 77: "
        "shorten it"
    )
