"""What the service did lately, as a document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from web import figures
from web.api.documents import Document
from web.api.openapi import errors
from web.service import Service

PATH = "/api/v1/figures"

Minutes = Annotated[
    int,
    Query(
        ge=figures.MIN_MINUTES, le=figures.MAX_MINUTES, description="How far to look back, from now"
    ),
]


class RequestsDocument(Document):
    """Answers to requests for pictures, by their status."""

    succeeded: Annotated[int, Field(alias="2xx")] = 0
    refused: Annotated[int, Field(alias="4xx")] = 0
    failed: Annotated[int, Field(alias="5xx")] = 0


class OutcomesDocument(Document):
    """Jobs that ended, as `web_jobs_total` counts them."""

    ok: int = 0
    client_error: int = 0
    limited: int = 0
    cancelled: int = 0
    upstream_error: int = 0
    timeout: int = 0


class PercentilesDocument(Document):
    """Seconds, by nearest rank. count: of the jobs that they are taken from."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float


class BucketDocument(Document):
    """start: its first second. queued, drawing: the highest that was seen. wholeSeconds: from the
    submission to the end, of the jobs that ended in it; null if none did."""

    start: datetime
    requests: RequestsDocument
    jobs: OutcomesDocument
    queued: int
    drawing: int
    pictures: int
    whole_seconds: PercentilesDocument | None


class WindowDocument(Document):
    """The durations of all jobs that ended: in the queue, being drawn, and together. null: of no
    job."""

    waiting: PercentilesDocument | None
    drawing: PercentilesDocument | None
    whole: PercentilesDocument | None


class FiguresDocument(Document):
    """The last minutes of this process. buckets: the oldest first; the last one is not over."""

    minutes: int
    now: datetime
    bucket_seconds: int
    buckets: list[BucketDocument]
    window: WindowDocument


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get(PATH, responses=errors(), tags=["service"])
    async def get_figures(  # pyright: ignore[reportUnusedFunction]
        minutes: Minutes = figures.MAX_MINUTES,
    ) -> FiguresDocument:
        """What the service did in the last minutes: requests for pictures, jobs, durations, and
        how full it was. The durations are those of the last 5,000 jobs at most."""
        return _document(minutes, service.metrics.figures.read(minutes))

    return routes


def _document(minutes: int, reading: figures.Reading) -> FiguresDocument:
    return FiguresDocument(
        minutes=minutes,
        now=_moment(reading.now),
        bucket_seconds=reading.bucket_seconds,
        buckets=[_bucket(bucket) for bucket in reading.buckets],
        window=WindowDocument(
            waiting=_percentiles(reading.waiting),
            drawing=_percentiles(reading.drawing),
            whole=_percentiles(reading.whole),
        ),
    )


def _bucket(bucket: figures.ReadBucket) -> BucketDocument:
    counts = bucket.counts
    return BucketDocument(
        start=_moment(bucket.start),
        requests=RequestsDocument.model_validate(counts.requests),
        jobs=OutcomesDocument.model_validate(counts.jobs),
        queued=counts.queued,
        drawing=counts.drawing,
        pictures=counts.pictures,
        whole_seconds=_percentiles(bucket.whole),
    )


def _percentiles(found: figures.Percentiles | None) -> PercentilesDocument | None:
    return found and PercentilesDocument.model_validate(found, from_attributes=True)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
