"""Jobs as documents."""

from __future__ import annotations

from tests.web.jobs.fake_server import asked
from web.api.describing import job_document
from web.jobs.job import Job, JobState
from web.options import Options
from web.service import Service


def test_progress_is_whole_only_once_the_job_is_done() -> None:
    service = Service(Options(("127.0.0.1:1",)))
    job = Job("a", asked(steps=4), deadline=0.0, state=JobState.DRAWING, step=4)
    assert job_document(service, job).progress < 1
    job.state = JobState.DONE
    assert job_document(service, job).progress == 1
