"""REST and gRPC behave the same: results, every failure in one line, time limits, bad endpoints."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from client import (
    Client,
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelState,
    ModelStatus,
    Protocol,
    QueueFullError,
    RequestTimeoutError,
    UnexpectedAnswerError,
    UnreachableError,
)
from client.stacks.discovery import PROJECT_ROOT
from prediction.endpoints import normalize_endpoint
from tests.client.commands import CommandLine
from tests.client.fake_rpc import FakeRpc
from tests.client.fake_serving import QUEUE_FULL, FakeServing, document, error

TRANSPORTS = ("rest", "grpc")


@pytest.fixture
def rpc(server: FakeServing) -> Iterator[FakeRpc]:
    fake = FakeRpc(server)
    yield fake
    fake.close()


@pytest.fixture(params=TRANSPORTS)
def endpoint(request: pytest.FixtureRequest, server: FakeServing, rpc: FakeRpc) -> str:
    """The same server, by each of its ports."""
    return server.endpoint if request.param == "rest" else rpc.endpoint


def failure(endpoint: str, **options: Any) -> ClientError:
    with Client(endpoint, retry=False, **options) as client, pytest.raises(ClientError) as raised:
        client.generate("a star", seed=1)
    assert "\n" not in str(raised.value)
    return raised.value


def test_both_transports_give_the_same_picture_for_every_input(
    server: FakeServing, rpc: FakeRpc
) -> None:
    pictures = []
    for endpoint in (server.endpoint, rpc.endpoint):
        with Client(endpoint) as client:
            picture = client.generate(
                "a blue ☆", negative_prompt="röt", num_steps=9, guidance_scale=5.5, seed=2**31 - 3
            )
        assert picture.endpoint == endpoint
        pictures.append(replace(picture, seconds=0, endpoint=""))
    assert pictures[0] == pictures[1]
    assert server.rows[0] == server.rows[1]


def test_both_transports_report_the_models_status(endpoint: str, server: FakeServing) -> None:
    with Client(endpoint) as client:
        assert client.status() == ModelStatus(ModelState.READY, "1")
        server.state = "LOADING"
        assert client.status().state is ModelState.LOADING
        server.state = "END"
        assert client.status().state is ModelState.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "message", "kind", "statuses"),
    [
        (400, "JSON Value: 1 is not of type", InputRefusedError, {"400", "INVALID_ARGUMENT"}),
        (429, "Run() timeout exceeded", QueueFullError, {"429", "RESOURCE_EXHAUSTED"}),
        (503, QUEUE_FULL, QueueFullError, {"503", "UNAVAILABLE"}),
        (504, "Timed out waiting", RequestTimeoutError, {"504", "DEADLINE_EXCEEDED"}),
        (404, "Servable not found", ModelNotFoundError, {"404", "NOT_FOUND"}),
        (500, "Internal: boom", UnexpectedAnswerError, {"500", "INTERNAL"}),
        (501, "not here", UnexpectedAnswerError, {"501", "UNIMPLEMENTED"}),
        (403, "go away", UnexpectedAnswerError, {"403", "PERMISSION_DENIED"}),
    ],
)
def test_a_failure_is_the_same_error_with_the_servers_message(
    endpoint: str,
    server: FakeServing,
    status: int,
    message: str,
    kind: type[ClientError],
    statuses: set[str],
) -> None:
    server.predict_reply = error(status, message)
    raised = failure(endpoint)
    assert type(raised) is kind
    assert raised.status in statuses
    assert message in str(raised)
    assert endpoint in str(raised)


@pytest.mark.parametrize("state", ["START", "LOADING"])
def test_a_starting_model_is_loading(endpoint: str, server: FakeServing, state: str) -> None:
    server.state = state
    raised = failure(endpoint)
    assert type(raised) is ModelLoadingError
    assert raised.status in ("503", "UNAVAILABLE")


def test_a_server_without_any_version_so_far_is_loading(endpoint: str, server: FakeServing) -> None:
    server.predict_reply = error(503, "no version of it has been found yet")
    server.status_reply = error(404, "Could not find any versions of model stable-diffusion")
    assert type(failure(endpoint)) is ModelLoadingError


def test_a_model_that_failed_to_load_says_why(endpoint: str, server: FakeServing) -> None:
    server.predict_reply = error(503, "not available")
    entry = {"version": "1", "state": "END", "status": {"error_message": "bad\nwarm-up"}}
    server.status_reply = document(200, {"model_version_status": [entry]})
    assert "bad warm-up" in str(failure(endpoint))


def test_an_unknown_model_name_is_reported(endpoint: str) -> None:
    raised = failure(endpoint, model_name="other")
    assert type(raised) is ModelNotFoundError
    assert "serves no model 'other'" in str(raised)


def test_the_clients_own_timeout_is_a_timeout(endpoint: str, server: FakeServing) -> None:
    server.hold = threading.Event()
    started = time.monotonic()
    raised = failure(endpoint, timeout_seconds=0.3)
    assert type(raised) is RequestTimeoutError
    assert re.search(r"within 0\.[123] s: ", str(raised))  # the model was asked before
    assert raised.status == ""
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xfe\x00", b'{"predictions": []}'])
def test_a_response_without_a_picture_is_reported(
    endpoint: str, server: FakeServing, content: bytes
) -> None:
    server.predict_reply = (200, content)
    raised = failure(endpoint)
    assert type(raised) is UnexpectedAnswerError
    assert "no picture" in str(raised)


def test_an_oversized_response_is_not_read_to_the_end(
    endpoint: str, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("http_connections", "rpc"):
        monkeypatch.setattr(f"client.transports.{module}.MAX_ANSWER_BYTES", 50)
    raised = failure(endpoint)
    assert type(raised) is UnexpectedAnswerError
    assert "more than 50 bytes" in str(raised)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_down_is_unreachable(
    run: CommandLine, free_port: int, scheme: str
) -> None:
    for command in (["generate", "x", "--no-retry"], ["status"]):
        ran = run(*command, "--endpoint", f"{scheme}://127.0.0.1:{free_port}")
        assert ran.code == 4
        assert "(connection refused)" in ran.error_line
        assert "`make status`" in ran.error_line


def test_the_wrong_protocol_for_a_port_is_a_one_line_error(
    run: CommandLine, server: FakeServing, rpc: FakeRpc
) -> None:
    rest_port, grpc_port = (text.rpartition(":")[2] for text in (server.endpoint, rpc.endpoint))
    for endpoint in (f"grpc://127.0.0.1:{rest_port}", f"http://127.0.0.1:{grpc_port}"):
        ran = run("generate", "x", "--endpoint", endpoint)
        assert ran.code == 4
        assert endpoint in ran.error_line


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_dropped_connection_is_unreachable(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopping = threading.Event()

        def hang_up() -> None:
            listener.settimeout(0.05)
            while not stopping.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            raised = failure(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            stopping.set()
            thread.join()
    assert type(raised) is UnreachableError


def test_the_transport_option_sets_the_protocol_of_a_bare_address(
    run: CommandLine, server: FakeServing, rpc: FakeRpc
) -> None:
    bare = {"rest": server.endpoint, "grpc": rpc.endpoint}
    for transport, endpoint in bare.items():
        address = endpoint.partition("://")[2]
        ran = run("status", "--endpoint", address, "--transport", transport)
        assert ran.code == 0, ran.err
    assert run("status", "--endpoint", rpc.endpoint).code == 0


@pytest.mark.parametrize(
    ("endpoint", "transport"),
    [("http://127.0.0.1:1", "grpc"), ("https://h", "grpc"), ("grpc://127.0.0.1:1", "rest")],
)
def test_a_scheme_that_contradicts_the_transport_is_refused(
    run: CommandLine, endpoint: str, transport: str
) -> None:
    ran = run("generate", "x", "--endpoint", endpoint, "--transport", transport)
    assert ran.code == 3
    assert f"is not a {transport} endpoint" in ran.error_line


@pytest.mark.parametrize(
    "endpoint",
    ["", "grpc://", "grpc://h", "grpc://h:0", "grpc://h:99999", "grpc://h:1/path", "grpc://u@h:1",
     "grpc://a b:1", "grpc://[::1", "grpc://h:1?x=y", "grpc://h\x1b[2J:1"],
)  # fmt: skip
def test_an_invalid_grpc_endpoint_is_rejected(run: CommandLine, endpoint: str) -> None:
    ran = run("generate", "x", "--endpoint", endpoint, "--transport", "grpc")
    assert ran.code == 3
    assert "grpc://127.0.0.1:8500" in ran.error_line
    assert "\x1b" not in ran.err


def test_an_endpoint_keeps_its_scheme_and_loses_its_slash() -> None:
    assert normalize_endpoint(" grpc://h:1/ ") == "grpc://h:1"
    assert normalize_endpoint("h:1", Protocol.GRPC) == "grpc://h:1"
    assert normalize_endpoint("[::1]:8500", Protocol.GRPC) == "grpc://[::1]:8500"
    assert normalize_endpoint("h:1") == "http://h:1"


def test_a_proxy_in_the_environment_is_not_asked_for_the_loopback(
    endpoint: str, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("no_proxy", "")
    with Client(endpoint) as client:
        assert client.generate("x", seed=1).seed == 1


def test_several_threads_may_use_one_client(endpoint: str, server: FakeServing) -> None:
    all_arrived = threading.Barrier(6, timeout=20)
    server.before_predict = lambda: (all_arrived.wait(), None)[1]
    seeds: list[int] = []
    with Client(endpoint) as client:
        threads = [
            threading.Thread(target=lambda s=s: seeds.append(client.generate("x", seed=s).seed))
            for s in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(seeds) == list(range(6))


def test_outputs_of_the_wrong_type_are_rejected(rpc: FakeRpc) -> None:
    def as_int64(response: Any) -> None:
        response.outputs["num_steps"].dtype = 9

    def twice(response: Any) -> None:
        response.outputs["seed"].int64_val.append(4)

    def missing(response: Any) -> None:
        del response.outputs["image_bytes"]

    edits: list[Callable[[Any], None]] = [as_int64, twice, missing]
    for edit in edits:
        rpc.edit = edit
        assert type(failure(rpc.endpoint)) is UnexpectedAnswerError


def test_numbers_may_come_as_tensor_content(rpc: FakeRpc) -> None:
    def pack(response: Any) -> None:
        for tensor in response.outputs.values():
            name, form = {9: ("int64_val", "<q"), 3: ("int_val", "<i"), 10: ("bool_val", "<?")}.get(
                tensor.dtype, ("", "")
            )
            if name:
                tensor.tensor_content = struct.pack(form, getattr(tensor, name)[0])
                tensor.ClearField(name)

    rpc.edit = pack
    with Client(rpc.endpoint) as client:
        picture = client.generate("a star", num_steps=7, seed=12)
    assert (picture.seed, picture.num_steps, picture.truncated) == (12, 7, False)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_generating_a_picture_does_not_import_tensorflow(
    server: FakeServing, rpc: FakeRpc, tmp_path: Any, transport: str
) -> None:
    """Nor with Pulumi, numpy, or the other transport's library."""
    endpoint = server.endpoint if transport == "rest" else rpc.endpoint
    program = (
        "import sys; from client.command_line.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'tensorflow', 'tensorflow_serving', 'pulumi', 'numpy', 'grpc', 'requests'}; "
        "print(code, *sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, "generate", "x", "--endpoint", endpoint],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT_ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines()[-1] == f"0 {'requests' if transport == 'rest' else 'grpc'}"
    assert ran.stderr == ""
