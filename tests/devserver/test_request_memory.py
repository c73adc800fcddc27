"""The sum of all requests' memory is bounded, however small their bodies are."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any

import psutil
import pytest

from devserver.errors import ServingError
from devserver.memory import MemoryBudget, RequestTooLargeError
from devserver.rest import body, json_tensor
from devserver.rest.json_parse import parse_object
from tests.devserver.processes import NAME, Answer, Server

pytestmark = pytest.mark.slow

MIB = 1 << 20
BOMBS = 16
GROWTH_LIMIT_BYTES = 700 * MIB
"""The server's budget, and what malloc keeps."""


@contextlib.contextmanager
def highest_resident_bytes(server: Server) -> Iterator[list[int]]:
    """Its only element is the most that the process has had, once the block ends."""
    process = psutil.Process(server.process.pid)
    highest = [process.memory_info().rss]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            highest[0] = max(highest[0], process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield highest
    finally:
        ended.set()
        watching.join()


@pytest.mark.parametrize("unit", ["0,", " "], ids=["values", "one long text"])
def test_16_bodies_that_inflate_to_97_mb_take_no_more_than_the_budget(
    server: Server, unit: str
) -> None:
    text = '{"instances": [' + unit * (97_000_000 // len(unit)) + "1]}"
    bomb = gzip.compress(text.encode())
    assert len(bomb) < 500_000

    def send(_: int) -> Answer:
        return server.rest("POST", f"/v1/models/{NAME}:predict", bomb, {"Content-Encoding": "gzip"})

    before = psutil.Process(server.process.pid).memory_info().rss
    with highest_resident_bytes(server) as highest, ThreadPoolExecutor(BOMBS) as clients:
        answers = list(clients.map(send, range(BOMBS if unit == "0," else 6)))
        assert server.predict({"instances": [1]}).json == {"predictions": [2.5]}
    assert highest[0] - before < GROWTH_LIMIT_BYTES
    refusals = {answer.status: answer.error for answer in answers if answer.status != 200}
    if unit == "0,":
        assert set(refusals) == {413}
        assert "limit of 512 MiB" in refusals[413]
    assert "\n" not in "".join(refusals.values())


def headers(**fields: str) -> Message:
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


def read(text: bytes, budget: MemoryBudget, compressed: bool) -> tuple[bytes, Any]:
    share = budget.share()
    sent = gzip.compress(text) if compressed else text
    fields = {"Content_Encoding": "gzip"} if compressed else {}
    stream: Any = io.BufferedReader(io.BytesIO(sent))  # type: ignore[arg-type]
    return body.read(headers(Content_Length=str(len(sent)), **fields), stream, share, int), share


UNITS = {
    "integers": "7,",
    "large integers": "1234567,",
    "decimals": "1.5,",
    "lists": "[],",
    "lists of one": "[7],",
    "objects": '{"":0},',
    "objects with many keys": '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6},',
    "strings": '"ab",',
    "long strings": '"' + "abcdefgh" * 40 + '",',
    "strings of any language": '"é€",',
    "emoji": '"😀",',
    "base64": '{"b64":"YWJj"},',
    "white space": "7,          ",
    "objects in lists": '[{"a":[{}]}],',
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_a_request_takes_no_more_memory_than_its_estimate(unit: str, compressed: bool) -> None:
    text = ('{"instances": [' + unit * (12_000 // len(unit)) + unit.rstrip(", ") + "]}").encode()
    budget = MemoryBudget(free_bytes=0)
    tracemalloc.start()
    try:
        content, share = read(text, budget, compressed)
        tracemalloc.reset_peak()
        document = parse_object(content)
        kind = "string" if unit.startswith(('"', '{"b64')) else "float"
        with contextlib.suppress(ServingError):
            json_tensor.decode(document, {"x": kind})
        _, taken = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= share.held_bytes
    assert share.held_bytes < 12 * taken, "so that what fits is not refused"


def test_a_share_is_returned_and_waited_for() -> None:
    budget = MemoryBudget(10 * MIB, free_bytes=MIB, wait_seconds=20)
    first, second = budget.share(), budget.share()
    first.hold(6 * MIB)
    second.hold(MIB)  # small enough to be free
    waiting = threading.Thread(target=second.hold, args=(6 * MIB,))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    with first:
        pass
    waiting.join(10)
    assert (first.held_bytes, second.held_bytes) == (0, 6 * MIB)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    budget = MemoryBudget(10 * MIB, free_bytes=MIB, wait_seconds=0.01)
    budget.share().hold(6 * MIB)
    with pytest.raises(ServingError) as busy:
        budget.share().hold(5 * MIB)
    assert (busy.value.http_status, busy.value.code.name) == (503, "UNAVAILABLE")
    with pytest.raises(RequestTooLargeError) as large:
        budget.share().hold(11 * MIB)
    assert (large.value.http_status, large.value.code.name) == (413, "RESOURCE_EXHAUSTED")
    budget.share().hold(4 * MIB)


def test_a_body_that_is_announced_and_does_not_come_holds_nothing() -> None:
    budget = MemoryBudget(10 * MIB, free_bytes=0)
    share = budget.share()
    stream: Any = io.BufferedReader(io.BytesIO(b"half"))  # type: ignore[arg-type]
    with pytest.raises(body.DisconnectedError):
        body.read(headers(Content_Length="100000000"), stream, share, int)
    assert share.held_bytes < 100


def test_chunks_of_one_byte_take_what_one_large_chunk_takes() -> None:
    sent = b"1\r\n7\r\n" * 20_000 + b"0\r\n\r\n"
    stream: Any = io.BufferedReader(io.BytesIO(sent))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        body.read(headers(Transfer_Encoding="chunked"), stream, MemoryBudget().share(), int)
        _, taken = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 200_000


def test_json_without_values_is_one_estimate_with_and_without_gzip() -> None:
    text = json.dumps({"inputs": "a" * 100_000}).encode()
    budget = MemoryBudget(free_bytes=0)
    (plain, first), (inflated, second) = (read(text, budget, way) for way in (False, True))
    assert plain == inflated == text
    assert 0 <= second.held_bytes - first.held_bytes < 1000
