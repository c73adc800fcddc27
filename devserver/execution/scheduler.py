"""The bounded queues in front of the model: one worker, one execution at a time in the process.

It does not depend on TensorFlow. A task is one request, split into one or more executions.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from devserver.errors import Code, ServingError

EXPIRED_IN_QUEUE = "Run() timeout exceeded while waiting in batching queue"
STOPPING = "The server is shutting down"


@dataclass(frozen=True)
class Execution:
    """One call of the model: `run` gets the time left in seconds, or None without a limit."""

    run: Callable[[float | None], Any]
    rows: int = 1
    """How much of the queue's capacity it uses."""


class Task:
    """A request in the queue or in execution; made by `Scheduler.submit`."""

    def __init__(self, executions: Sequence[Execution], deadline: float | None) -> None:
        self._executions = deque(executions)
        self._deadline = deadline
        self._results: list[Any] = []
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._submitted = time.monotonic()
        self.queue_wait_seconds = 0.0
        """How long the first execution waited; known once the task is done."""

    @property
    def next_rows(self) -> int:
        """Rows of the next execution; 0 when none is left."""
        return self._executions[0].rows if self._executions else 0

    @property
    def rows(self) -> int:
        """Rows of the executions that have not begun."""
        return sum(execution.rows for execution in self._executions)

    def results(self) -> list[Any]:
        """Waits for the executions and returns their results in order, or raises their error."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._results

    def waited_seconds(self) -> float:
        """Seconds since it was submitted."""
        return time.monotonic() - self._submitted

    def take(self) -> Execution:
        """Remove the next execution from the queue and return it."""
        return self._executions.popleft()

    def run(self, execution: Execution) -> None:
        """Runs an execution that was taken, on the scheduler's thread."""
        taken = time.monotonic()
        if not self._results:
            self.queue_wait_seconds = taken - self._submitted
        left = None if self._deadline is None else self._deadline - taken
        if left is not None and left <= 0:
            raise ServingError(Code.RESOURCE_EXHAUSTED, EXPIRED_IN_QUEUE)
        self._results.append(execution.run(left))

    def finish(self, error: BaseException | None) -> None:
        self._error = error
        self._done.set()


class Scheduler:
    """Runs submitted tasks, one execution at a time, on one thread.

    As in TF Serving, each signature has a queue of its own. A queue is served in order, and the
    queues take turns, so that a quick signature does not wait for all that a slow one has to do.

    Args:
        capacity: how many rows may wait in a queue, not counting the running execution's.
        full_message: the error message when full, from the task's rows and the waiting rows.
        record_wait: called with each execution's seconds in the queue, expired ones included.
    """

    def __init__(
        self,
        capacity: int,
        full_message: Callable[[int, int], str],
        record_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._capacity = capacity
        self._full_message = full_message
        self._record_wait = record_wait
        self._queues: dict[str, deque[Task]] = {}  # the one whose turn is next is first
        self._running: str | None = None  # the queue whose first task is in execution
        self._stopping = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, name="execution", daemon=True)
        self._worker.start()

    def submit(
        self, executions: Sequence[Execution], deadline: float | None, queue: str = ""
    ) -> Task:
        """Puts a request's executions into a queue. `deadline` is on `time.monotonic`'s clock.

        Raises:
            ServingError: UNAVAILABLE if the queue is full or the server is stopping.
        """
        task = Task(executions, deadline)
        with self._changed:
            if self._stopping:
                raise ServingError(Code.UNAVAILABLE, STOPPING)
            tasks = self._queues.setdefault(queue, deque())
            waiting = sum(queued.rows for queued in tasks)
            if self._running is None and self._next_queue() in (None, queue):
                # The first execution counts as running even before the worker has woken up, so
                # that the number admitted does not depend on thread timing.
                waiting -= (tasks[0] if tasks else task).next_rows
            if waiting + task.rows > self._capacity:
                raise ServingError(Code.UNAVAILABLE, self._full_message(task.rows, max(0, waiting)))
            tasks.append(task)
            self._changed.notify()
        return task

    def stop(self) -> None:
        """Rejects waiting and new tasks; the one that runs, or is next, runs to its end."""
        with self._changed:
            self._stopping = True
            kept = self._next_queue() if self._running is None else self._running
            for queue, tasks in self._queues.items():
                while len(tasks) > (1 if queue == kept else 0):
                    tasks.pop().finish(ServingError(Code.UNAVAILABLE, STOPPING))
            self._changed.notify()

    def _next_queue(self) -> str | None:
        return next((queue for queue, tasks in self._queues.items() if tasks), None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next_queue() is not None or self._stopping)
                queue = self._next_queue()
                if queue is None:
                    return
                tasks = self._queues[queue] = self._queues.pop(queue)  # to the end: its turn is now
                task = tasks[0]
                execution = task.take()
                self._running = queue
            error = None
            self._record_wait(task.waited_seconds())
            try:
                task.run(execution)
            except BaseException as raised:
                error = raised
            finished = error is not None or task.rows == 0
            with self._changed:
                self._running = None
                if finished:
                    tasks.popleft()
            if finished:
                task.finish(error)
