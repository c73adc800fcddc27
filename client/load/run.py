"""Running a load plan: worker threads send its requests and record each result."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from client.api import Client
from client.exit_codes import exit_code
from client.load.plan import Job, Plan
from client.pictures.picture import Picture
from client.retry import until_deadline
from prediction.endpoints import is_grpc
from prediction.errors import ClientError

KeepPicture = Callable[[int, Picture], None]
"""Called with a request's number and picture, from any thread, one at a time."""


@dataclass(frozen=True)
class Result:
    """One request that was sent. Times are seconds since the start of the run.

    scheduled: the planned time; sent: when a worker first sent it. finished is None for a request
    that was still in flight when the run was interrupted. status: "200", "503", or the gRPC code;
    empty if nothing responded. error: one line, empty on success. All of these are the first
    answer's. retries: how often it was sent again; the last answer then has its own time, status
    and error.
    """

    number: int
    prompt: str
    seed: int
    scheduled: float
    sent: float
    latency_from: float
    finished: float | None = None
    status: str = ""
    endpoint: str = ""
    error: str = ""
    exit_code: int = 0
    retries: int = 0
    retry_finished: float | None = None
    retry_status: str = ""
    retry_error: str = ""

    @property
    def succeeded(self) -> bool:
        return self.finished is not None and not self.error

    @property
    def succeeded_later(self) -> bool:
        """Whether a retry gave the picture."""
        return self.retry_finished is not None and not self.retry_error

    @property
    def latency_seconds(self) -> float | None:
        return None if self.finished is None else self.finished - self.latency_from


@dataclass(frozen=True)
class Outcome:
    """A run: every request that was sent, by number, and how long it all took."""

    plan: Plan
    results: tuple[Result, ...]
    seconds: float
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 if every request sent succeeded, else that of the most frequent failure."""
        codes = Counter(result.exit_code for result in self.results if result.error)
        return codes.most_common(1)[0][0] if codes else 0


class _StoppedError(Exception):
    """The run is over: nothing more is sent."""


class Load:
    """One run of `plan`. `keep` is called with every picture."""

    def __init__(
        self, client: Client, plan: Plan, *, retry: bool = False, keep: KeepPicture | None = None
    ) -> None:
        self._client = client
        self._plan = plan
        self._retry = retry
        self._keep = keep
        self._keeping = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: Iterator[Job] = iter(plan.jobs)
        self._results: dict[int, Result] = {}
        self._working = plan.workers
        self._bug: BaseException | None = None
        self._over = threading.Event()
        self._stopping = threading.Event()
        self.started = time.monotonic()

    def run(self) -> Outcome:
        """Send all requests and wait for them. Ctrl-C ends the run and abandons those in flight."""
        self.started = time.monotonic()
        for number in range(self._plan.workers):
            threading.Thread(target=self._work, name=f"load-{number}", daemon=True).start()
        interrupted = False
        try:
            self._over.wait()
        except KeyboardInterrupt:
            interrupted = True
        self._stopping.set()
        with self._lock:
            results = tuple(self._results[number] for number in sorted(self._results))
            seconds = self._now()
        if self._bug is not None:
            raise self._bug
        return Outcome(self._plan, results, seconds, interrupted)

    def line(self) -> str:
        """The progress so far, as one line."""
        with self._lock:
            results = list(self._results.values())
        total, seconds = len(self._plan.jobs), self._now()
        finished = sum(result.finished is not None for result in results)
        failed = sum(bool(result.error) for result in results)
        parts = [f"{finished} of {total} done", f"{len(results) - finished} in flight"]
        if failed:
            parts.append(f"{failed} failed")
        if retrying := sum(r.retries > 0 and r.retry_finished is None for r in results):
            parts.append(f"{retrying} retrying")
        parts.append(f"{seconds:.0f} s")
        if finished:
            parts.append(f"about {seconds / finished * (total - finished):.0f} s left")
        return ", ".join(parts)

    def _work(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                if self._stopping.wait(max(job.at_seconds - self._now(), 0.0)):
                    break
                self._do(job)
        except BaseException as error:
            self._bug = error
            self._over.set()
        finally:
            with self._lock:
                self._working -= 1
                if self._working == 0:
                    self._over.set()

    def _next_job(self) -> Job | None:
        with self._lock:
            return None if self._stopping.is_set() else next(self._waiting, None)

    def _do(self, job: Job) -> None:
        sent = self._now()
        result = Result(
            number=job.number,
            prompt=job.request.prompt,
            seed=job.request.seed,
            scheduled=job.at_seconds,
            sent=sent,
            latency_from=job.at_seconds if self._plan.from_schedule else sent,
        )
        self._record(result)
        attempts = 0

        def attempt(timeout_seconds: float) -> Picture:
            nonlocal attempts, result
            attempts += 1
            if attempts > 1:
                result = replace(result, retries=attempts - 1)
                self._record(result)
            return self._client.send(job.request, timeout_seconds)

        def before_retry(error: ClientError, _: float) -> None:
            nonlocal result
            if attempts == 1:
                result = self._failed(result, error)
                self._record(result)

        try:
            if self._retry:
                picture = until_deadline(
                    self._client, attempt, before_retry=before_retry, sleep=self._pause
                )
            else:
                picture = attempt(self._client.timeout_seconds)
        except _StoppedError:
            return
        except ClientError as error:
            self._record(self._failed(result, error))
            return
        result = self._succeeded(result, picture)
        if self._keep is not None:
            with self._keeping:
                self._keep(job.number, picture)
        self._record(result)

    def _pause(self, seconds: float) -> None:
        """Wait before a retry, but not beyond the end of the run."""
        if self._stopping.wait(seconds):
            raise _StoppedError

    def _failed(self, result: Result, error: ClientError) -> Result:
        """`result` with this failure as its first answer, or as its last one."""
        finished, message = self._now(), str(error)
        if result.retries:
            return replace(
                result, retry_finished=finished, retry_status=error.status, retry_error=message
            )
        return replace(
            result,
            finished=finished,
            status=error.status,
            error=message,
            exit_code=exit_code(error),
        )

    def _succeeded(self, result: Result, picture: Picture) -> Result:
        """`result` with this picture as its first answer, or as its last one."""
        finished, status = self._now(), "OK" if is_grpc(picture.endpoint) else "200"
        if result.retries:
            return replace(
                result,
                retry_finished=finished,
                retry_status=status,
                endpoint=picture.endpoint,
            )
        return replace(result, finished=finished, status=status, endpoint=picture.endpoint)

    def _record(self, result: Result) -> None:
        with self._lock:
            self._results[result.number] = result

    def _now(self) -> float:
        return time.monotonic() - self.started
