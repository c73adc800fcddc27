"""Several endpoints: which one gets a request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Client, InputRefusedError, ModelState, PictureRequest, UnreachableError
from client.transports.balancing import LeastLoaded
from prediction.answer import Answer
from prediction.description import Answers
from prediction.model_status import ModelStatus
from tests.client.fake_serving import FakeServing

REQUEST = PictureRequest("x", "", 1, 3.0, 1)


class Held:
    """A server that responds when released, and counts its requests."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.got = 0
        self.state = ModelState.READY
        self.broken = False
        self.let = threading.Event()
        self.arrived = threading.Semaphore(0)

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        self.got += 1
        if self.broken:
            raise UnreachableError("down")
        self.arrived.release()
        assert self.let.wait(20)
        return Answer(b"", request.seed, 1, 1, False, "", self.endpoint)

    def describe(self, timeout_seconds: float) -> Answers:
        self.arrived.release()
        assert self.let.wait(20)
        return [(self.endpoint, "{}")]

    def model_status(self, timeout_seconds: float) -> ModelStatus:
        return ModelStatus(self.state, self.endpoint)

    def close(self) -> None:
        pass


@pytest.fixture
def two() -> tuple[Held, Held]:
    return Held("a"), Held("b")


def start(balanced: LeastLoaded, server: Held) -> threading.Thread:
    """Sends a request, and returns once it has come to `server`."""
    thread = threading.Thread(target=balanced.predict, args=(REQUEST, 1.0))
    thread.start()
    assert server.arrived.acquire(timeout=20)
    return thread


def test_all_servers_are_asked_at_once_what_they_serve(two: tuple[Held, Held]) -> None:
    """One that draws answers after its picture."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(LeastLoaded(two).describe, 1.0)
        both_asked = [server.arrived.acquire(timeout=5) for server in two]
        for server in two:
            server.let.set()
        assert asking.result() == [("a", "{}"), ("b", "{}")]
    assert both_asked == [True, True]


def test_a_request_goes_to_the_server_with_the_fewest_in_flight(two: tuple[Held, Held]) -> None:
    a, b = two
    balanced = LeastLoaded(two)
    slow = start(balanced, a)
    b.let.set()
    for _ in range(3):
        assert balanced.predict(REQUEST, 1.0).endpoint == "b"
    a.let.set()
    slow.join()
    assert (a.got, b.got) == (1, 3)
    assert balanced.predict(REQUEST, 1.0).endpoint == "a", "the one that was used longest ago"


def test_equally_loaded_servers_take_turns(two: tuple[Held, Held]) -> None:
    for server in two:
        server.let.set()
    balanced = LeastLoaded(two)
    assert [balanced.predict(REQUEST, 1.0).endpoint for _ in range(4)] == ["a", "b", "a", "b"]


def test_an_unreachable_server_does_not_attract_requests(
    two: tuple[Held, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    a.broken = True
    balanced = LeastLoaded(two)
    with pytest.raises(UnreachableError):
        balanced.predict(REQUEST, 1.0)
    b.let.set()
    thread = start(balanced, b)
    thread.join()
    for _ in range(3):
        assert balanced.predict(REQUEST, 1.0).endpoint == "b"
    assert a.got == 1
    b.broken = True
    for _ in range(2):
        with pytest.raises(UnreachableError):
            balanced.predict(REQUEST, 1.0)
    assert (a.got, b.got) == (2, 5), "with all of them down, each is tried"


def test_a_failed_request_is_no_longer_in_flight(two: tuple[Held, Held]) -> None:
    a, b = two
    a.broken = b.broken = True
    balanced = LeastLoaded(two)
    for _ in range(4):
        with pytest.raises(UnreachableError):
            balanced.predict(REQUEST, 1.0)
    assert (a.got, b.got) == (2, 2)


def test_the_status_is_that_of_a_server_that_is_not_ready(two: tuple[Held, Held]) -> None:
    balanced = LeastLoaded(two)
    assert balanced.model_status(1.0) == ModelStatus(ModelState.READY, "a")
    two[1].state = ModelState.LOADING
    assert balanced.model_status(1.0) == ModelStatus(ModelState.LOADING, "b")


def test_a_client_takes_several_endpoints_and_reports_which_one_drew(server: FakeServing) -> None:
    second = FakeServing()
    try:
        with Client([server.endpoint, second.endpoint]) as client:
            assert client.endpoint == f"{server.endpoint}, {second.endpoint}"
            drawn_by = [client.generate("x", seed=1).endpoint for _ in range(4)]
    finally:
        second.close()
    assert drawn_by == [server.endpoint, second.endpoint] * 2


def test_a_client_without_an_endpoint_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="no endpoint"):
        Client([])
