"""The jobs of the service, as those see them who ask for them."""

from __future__ import annotations

import asyncio
import math
import secrets
from itertools import chain

from web.jobs import problems
from web.jobs.dispatch import Dispatcher
from web.jobs.drawing import Drawing
from web.jobs.job import Asked, Job, JobState, Owner
from web.jobs.patience import Patience
from web.jobs.refusals import Reason, RefusedError, refused
from web.jobs.results import Results
from web.jobs.servers import Servers
from web.metrics import Metrics


class JobQueue:
    """Used in the models' event loop only.

    size: how many jobs may wait; with 0 one job is taken at a time. deadline_seconds: the longest
    that any job may take. size_by_owner: how many jobs of one owner may wait or be drawn; None for
    no limit.
    """

    def __init__(
        self,
        models: Servers,
        *,
        size: int,
        deadline_seconds: float,
        keep_results_seconds: float,
        metrics: Metrics,
        size_by_owner: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.is_draining = False
        self._models = models
        self._size = size
        self._size_by_owner = size_by_owner
        self._deadline_seconds = deadline_seconds
        self._metrics = metrics
        self._patience = patience or Patience()
        self._dispatcher = Dispatcher(models, self._patience, self._ended)
        self._jobs: dict[tuple[Owner, str], Drawing] = {}
        """All that have not ended."""
        self._results = Results(keep_results_seconds)
        self._expiry: asyncio.TimerHandle | None = None

    def submit(
        self, asked: Asked, instead_of: Job | None = None, longest_seconds: float | None = None
    ) -> Job:
        """The job, or the one with the same owner and id that is there already. Raises
        RefusedError.

        instead_of: one that has ended, whose id the job takes over if there is room for it.
        longest_seconds: instead of the queue's own limit to a job's deadline.
        """
        known = self.find(asked.owner, asked.job_id) if asked.job_id else None
        if known is not instead_of and known is not None:
            return known
        self.check_open()
        now = asyncio.get_running_loop().time()
        longest = longest_seconds or self._deadline_seconds
        seconds = min(asked.deadline_seconds or math.inf, longest)
        job = Job(asked.job_id or secrets.token_hex(16), asked, now + seconds, submitted=now)
        drawing = self._models.drawing(job, self._patience, self._metrics)
        self._check_room(drawing, now)
        if instead_of is not None:
            self._results.remove(instead_of)
        self._jobs[job.owner, job.id] = drawing
        self._dispatcher.add(drawing)
        self._metrics.figures.load_seen(self.queued, self.drawing)
        return job

    def check_open(self) -> None:
        """Whether jobs are taken at all. Raises RefusedError."""
        if self.is_draining:
            raise RefusedError(problems.draining())
        since = self._dispatcher.away_since
        away = 0.0 if since is None else asyncio.get_running_loop().time() - since
        if not self._models.was_seen or away >= self._patience.away_seconds:
            raise RefusedError(problems.away(is_loading=self._models.is_loading))

    def find(self, owner: Owner, job_id: str) -> Job | None:
        drawing = self._jobs.get((owner, job_id))
        return drawing.job if drawing else self._results.find(owner, job_id)

    def jobs(self, owner: Owner) -> list[Job]:
        """The owner's, newest first."""
        everyones = chain((drawing.job for drawing in self._jobs.values()), self._results)
        mine = [job for job in everyones if job.owner == owner]
        return sorted(mine, key=lambda job: job.submitted, reverse=True)

    def is_gone(self, owner: Owner, job_id: str) -> bool:
        """Whether there was such a job, whose results are kept no longer."""
        return self._results.is_gone(owner, job_id)

    def place(self, job: Job) -> int:
        """1 for the next one; 0 for those that do not wait."""
        waiting = (drawing.job for drawing in self._dispatcher.waiting)
        return next((place for place, other in enumerate(waiting, 1) if other is job), 0)

    def seconds_left(self, job: Job) -> float | None:
        """Until the job is done, by the estimate; None without one."""
        drawing, estimate = self._jobs.get((job.owner, job.id)), self._dispatcher.estimate()
        if drawing is None:
            return 0.0
        if estimate is None or not self._models.ready:
            return None
        if drawing in self._dispatcher.running:
            return drawing.seconds_left(estimate, asyncio.get_running_loop().time())
        ahead = [*self._dispatcher.lost, *self._dispatcher.waiting]
        ahead = ahead[: ahead.index(drawing) + 1]
        return self._dispatcher.ends_in_seconds(estimate, ahead)[-1]

    @property
    def queued(self) -> int:
        return len(self._dispatcher.waiting)

    @property
    def drawing(self) -> int:
        return len(self._jobs) - self.queued

    def cancel(self, job: Job, *, keep: bool = True) -> None:
        """End it. A picture that is half done is kept if the job was asked so, unless `keep` is
        false; the job then ends after the chunk, and all others at once."""
        if job.state.is_final:
            return
        job.is_cancelled = True
        drawing = self._jobs[job.owner, job.id]
        server = drawing.server
        if keep and job.asked.keeps_unfinished and server is not None and server.keeps_unfinished:
            job.touch()
        else:
            self._dispatcher.end(drawing, JobState.CANCELLED, problems.cancelled())

    def forget(self, owner: Owner) -> None:
        """End the owner's jobs, and keep no results of theirs."""
        for job in self.jobs(owner):
            self.cancel(job, keep=False)
            self._results.remove(job)

    def skip(self, job: Job) -> None:
        """End the picture that is being drawn, and go on with the next."""
        if job.state is JobState.DRAWING:
            job.is_skipped = True
            job.touch()

    def drain(self) -> None:
        """Take no more jobs; those that wait end, those that are drawn go on."""
        self.is_draining = True
        self._metrics.set_draining()
        for drawing in list(self._dispatcher.waiting):
            self._dispatcher.end(drawing, JobState.REFUSED, problems.draining())

    async def wait_until_idle(self) -> None:
        """After `drain`: until the jobs that are being drawn have ended."""
        await self._dispatcher.wait_for_ends()

    async def stop(self) -> None:
        """End all jobs, and the calls for them."""
        self.drain()
        for drawing in list(self._jobs.values()):
            self._dispatcher.end(drawing, JobState.FAILED, problems.draining())
        await self._dispatcher.stop()
        if self._expiry is not None:
            self._expiry.cancel()

    def _check_room(self, drawing: Drawing, now: float) -> None:
        """Whether it would be drawn in time. Raises RefusedError."""
        dispatcher = self._dispatcher
        self._check_share(drawing.job.owner)
        estimate = dispatcher.estimate() if self._models.ready else None
        # Whoever is alone waits at most for the chunk of a job that was cancelled.
        if self._jobs and len(dispatcher.waiting) >= self._size:
            free = min(dispatcher.free_in_seconds(estimate)) if estimate else None
            raise RefusedError(problems.full(len(dispatcher.waiting), free))
        if estimate is None or not estimate.is_sound(now):
            return
        limit, alone = drawing.job.deadline - now, drawing.seconds_left(estimate, now)
        if alone > limit:
            raise refused(
                Reason.TOO_COSTLY,
                f"this takes about {math.ceil(alone)} s, and its deadline is {limit:g} s: ask for "
                "fewer steps or pictures, or for a later deadline if the service allows one",
            )
        ahead = [*dispatcher.lost, *dispatcher.waiting, drawing]
        done = dispatcher.ends_in_seconds(estimate, ahead)[-1]
        if done > limit:
            raise RefusedError(problems.would_be_late(done, limit))

    def _check_share(self, owner: Owner) -> None:
        """Raises RefusedError if the owner has as many jobs as one may have."""
        theirs = [each.job for each in self._jobs.values() if each.job.owner == owner]
        if self._size_by_owner is not None and len(theirs) >= self._size_by_owner:
            ends = [seconds for job in theirs if (seconds := self.seconds_left(job)) is not None]
            raise RefusedError(problems.too_many(len(theirs), min(ends, default=None)))

    def _ended(self, job: Job) -> None:
        del self._jobs[job.owner, job.id]
        self._metrics.job_ended(job)
        self._results.add(job, asyncio.get_running_loop().time())
        self._expire_later()

    def _expire_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._expiry is None and (when := self._results.next_expiry()) is not None:
            self._expiry = loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._results.expire(asyncio.get_running_loop().time())
        self._expire_later()
