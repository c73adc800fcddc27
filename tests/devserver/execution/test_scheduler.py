"""The queue: its bound, its order, its deadlines, one execution at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from devserver.errors import Code, ServingError
from devserver.execution.scheduler import EXPIRED_IN_QUEUE, STOPPING, Execution, Scheduler, Task
from tests.devserver.processes import wait_until


class Gate:
    """An execution that waits until released, and records when it ran."""

    def __init__(self, result: str = "gate") -> None:
        self._result = result
        self.started = threading.Event()
        self.open = threading.Event()

    def run(self, left: float | None) -> str:
        self.started.set()
        assert self.open.wait(10)
        return self._result


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(2, lambda rows, waiting: f"full: {rows} more beside {waiting}")
    yield made
    made.stop()


@pytest.fixture
def gate(scheduler: Scheduler) -> Iterator[Gate]:
    """Holds the worker until the test opens it."""
    held = Gate()
    scheduler.submit([Execution(held.run)], None)
    assert held.started.wait(10)
    yield held
    held.open.set()


def submit(scheduler: Scheduler, name: str = "x", rows: int = 1) -> Task:
    return scheduler.submit([Execution(lambda left: name, rows)], None)


def test_a_task_returns_what_its_executions_returned_in_order(scheduler: Scheduler) -> None:
    executions = [Execution(lambda left, n=n: n) for n in range(3)]
    assert scheduler.submit(executions, None).results() == [0, 1, 2]


def test_as_many_tasks_as_the_capacity_wait_besides_the_running_one(
    scheduler: Scheduler, gate: Gate
) -> None:
    waiting = [submit(scheduler), submit(scheduler)]
    with pytest.raises(ServingError) as refused:
        submit(scheduler)
    assert refused.value.code is Code.UNAVAILABLE
    assert refused.value.message == "full: 1 more beside 2"
    gate.open.set()
    assert [task.results() for task in waiting] == [["x"], ["x"]]


def test_the_first_task_does_not_wait_even_before_the_worker_wakes_up(
    scheduler: Scheduler,
) -> None:
    gates = [Gate() for _ in range(3)]
    tasks = [scheduler.submit([Execution(gate.run)], None) for gate in gates]
    for gate in gates:
        gate.open.set()
    assert [task.results() for task in tasks] == [["gate"]] * 3


def test_rows_count_towards_the_capacity(scheduler: Scheduler, gate: Gate) -> None:
    submit(scheduler, rows=2)
    with pytest.raises(ServingError):
        submit(scheduler)


def test_each_queue_has_its_own_bound_and_they_take_turns(scheduler: Scheduler, gate: Gate) -> None:
    ran: list[str] = []

    def submit_to(queue: str, name: str) -> Task:
        return scheduler.submit([Execution(lambda left: ran.append(name))], None, queue)

    tasks = [submit_to("slow", "slow 1"), submit_to("slow", "slow 2")]
    with pytest.raises(ServingError, match="full"):
        submit_to("slow", "slow 3")
    tasks += [submit_to("quick", "quick 1"), submit_to("quick", "quick 2")]
    with pytest.raises(ServingError, match="full"):
        submit_to("quick", "quick 3")
    gate.open.set()
    for task in tasks:
        task.results()
    assert ran == ["slow 1", "quick 1", "slow 2", "quick 2"]


def test_a_stop_rejects_what_waits_in_every_queue(scheduler: Scheduler, gate: Gate) -> None:
    waiting = [scheduler.submit([Execution(lambda left: 1)], None, name) for name in ("", "b")]
    scheduler.stop()
    gate.open.set()
    for task in waiting:
        with pytest.raises(ServingError, match=STOPPING):
            task.results()


def test_an_error_frees_its_place_in_the_queue(scheduler: Scheduler) -> None:
    def fail(left: float | None) -> None:
        raise ServingError(Code.INTERNAL, "no")

    for _ in range(5):
        task = scheduler.submit([Execution(fail), Execution(fail), Execution(fail)], None)
        with pytest.raises(ServingError, match="no"):
            task.results()
    assert submit(scheduler).results() == ["x"]


def test_executions_never_overlap(scheduler: Scheduler) -> None:
    inside, worst, ran = [0], [0], [0]

    def run(left: float | None) -> None:
        ran[0] += 1
        inside[0] += 1
        worst[0] = max(worst[0], inside[0])
        threading.Event().wait(0.002)
        inside[0] -= 1

    def client(_: int) -> list[Code]:
        refused: list[Code] = []
        for _ in range(10):
            try:
                scheduler.submit([Execution(run)], None).results()
            except ServingError as error:
                refused.append(error.code)
        return refused

    with ThreadPoolExecutor(6) as clients:
        refused = [code for codes in clients.map(client, range(6)) for code in codes]
    assert worst == [1]
    assert set(refused) <= {Code.UNAVAILABLE}
    assert ran[0] == 60 - len(refused) >= 10


def test_an_expired_deadline_is_found_when_the_task_is_dequeued(
    scheduler: Scheduler, gate: Gate
) -> None:
    late = scheduler.submit([Execution(lambda left: "ran")], time.monotonic() + 0.01)
    wait_until(lambda: time.monotonic() > late._submitted + 0.02, "the deadline")
    gate.open.set()
    with pytest.raises(ServingError) as expired:
        late.results()
    assert (expired.value.code, expired.value.message) == (
        Code.RESOURCE_EXHAUSTED,
        EXPIRED_IN_QUEUE,
    )
    assert late.queue_wait_seconds >= 0.01


def test_an_execution_gets_the_remaining_time(scheduler: Scheduler) -> None:
    (left,) = scheduler.submit([Execution(lambda left: left)], time.monotonic() + 5).results()
    assert 4 < left <= 5


def test_a_stop_finishes_the_first_task_and_rejects_the_others(
    scheduler: Scheduler, gate: Gate
) -> None:
    waiting = submit(scheduler)
    scheduler.stop()
    with pytest.raises(ServingError, match=STOPPING):
        waiting.results()
    with pytest.raises(ServingError, match=STOPPING):
        submit(scheduler)
    gate.open.set()
