"""What the own API takes and answers, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from model_export.spec import SEED_LIMIT
from web.jobs.job import JobState

FORMAT = 1
ID_PATTERN = r"^[A-Za-z0-9_-]{1,100}$"


class Document(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class JobRequest(Document):
    """Pictures to draw. What is left out, the model's defaults say; see `capabilities`."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)

    prompt: Annotated[str, Field(examples=["a small red circle on white"])]
    id: Annotated[
        str | None,
        Field(
            pattern=ID_PATTERN,
            description="The job's id, to be chosen by the caller. The same id again is the same "
            "job: a request whose answer was lost can be sent once more, with or without the seed.",
        ),
    ] = None
    negative_prompt: Annotated[str | None, Field(description="What should not be in it")] = None
    steps: Annotated[int | None, Field(ge=1)] = None
    guidance_scale: Annotated[
        float | None,
        Field(ge=1, allow_inf_nan=False, description="How closely the prompt is followed"),
    ] = None
    seed: Annotated[
        int | None,
        Field(
            ge=0,
            lt=SEED_LIMIT,
            description="Of the first picture; each other one has the next. Drawn if left out",
        ),
    ] = None
    count: Annotated[int, Field(ge=1, description="How many pictures")] = 1
    width: Annotated[int | None, Field(ge=1)] = None
    height: Annotated[int | None, Field(ge=1)] = None
    strict_size: Annotated[
        bool,
        Field(description="Refuse a size that the model does not have, instead of the nearest"),
    ] = False
    deadline_seconds: Annotated[
        float | None,
        Field(ge=1, allow_inf_nan=False, description="The longest time until the last picture"),
    ] = None


class RequestDocument(Document):
    """The job's request with every value that counts. width, height: what is drawn."""

    prompt: str
    negative_prompt: str
    steps: int
    guidance_scale: float
    seed: int
    count: int
    width: int
    height: int


class PictureDocument(Document):
    """A finished picture. truncated: the model reads only the prompt's first tokens."""

    url: str
    seed: int
    steps: int
    prompt_tokens: int
    truncated: bool
    negative_prompt_tokens: int
    negative_prompt_truncated: bool
    fingerprint: str
    seconds: float


class PreviewDocument(Document):
    """What the picture that is being drawn looks like. version: grows with each new one."""

    url: str
    version: int


class Error(Document):
    """code: for programs. message: one line for people."""

    code: str
    message: str
    retry_after_seconds: int | None = None


class ErrorDocument(Document):
    """Why a request was refused, or failed."""

    error: Error


class JobDocument(Document):
    """A job at one moment."""

    id: str
    state: JobState
    version: Annotated[int, Field(description="Grows with every change")]
    place: Annotated[int, Field(description="1 for the next job; 0 once it is drawn")]
    step: Annotated[int, Field(description="Done steps, over all pictures")]
    steps: Annotated[int, Field(description="All steps, over all pictures")]
    progress: Annotated[float, Field(ge=0, le=1, description="1 only once the job is done")]
    seconds_left: Annotated[float | None, Field(description="An estimate, if there is one")]
    waking_seconds: Annotated[
        int | None,
        Field(description="Until a machine is there that draws it, if none runs: an estimate"),
    ]
    created: datetime
    request: RequestDocument
    notes: Annotated[list[str], Field(description="What was mapped, ignored or cut off")]
    pictures: list[PictureDocument]
    preview: PreviewDocument | None
    error: Error | None


class JobEvent(BaseModel):
    """A server-sent event. data: the job's document, as JSON. id: its version."""

    event: Literal["job"]
    id: str
    data: Annotated[str, Field(json_schema_extra={"contentMediaType": "application/json"})]


class JobsDocument(Document):
    """The caller's jobs, newest first."""

    jobs: list[JobDocument]


class ModelDocument(Document):
    """The served model. licence_text: what its licence asks of those who draw with it; this and
    licence_url are empty where it asks nothing of them."""

    family: str
    fingerprint: str
    profile: str
    precision: str
    samplers: list[str]
    licence: str
    licence_url: str
    licence_text: str
    signatures: list[str]


class LimitsDocument(Document):
    """The model's limits and defaults, and the service's. max_cost: pixels × steps × pictures."""

    min_steps: int
    max_steps: int
    max_prompt_bytes: int
    max_prompt_tokens: int
    max_guidance_scale: float
    image_size: int
    default_steps: int
    default_guidance_scale: float
    default_negative_prompt: str
    max_count: int
    max_cost: int
    queue: int
    deadline_seconds: float


class CapabilitiesDocument(Document):
    """What the service can do. model: null until it has said what it is."""

    format: Literal[1] = FORMAT
    version: str
    model: ModelDocument | None
    limits: LimitsDocument
    progress: Literal["real", "estimated"]
    previews: bool
    formats: list[str]
    apis: list[str]


class ModelServerDocument(Document):
    endpoint: str
    state: Literal["ready", "loading", "unreachable"]
    fingerprint: str
    seconds_per_step: float | None
    busy: bool


class StatusDocument(Document):
    """How the service is."""

    state: Literal["ready", "loading", "unreachable", "draining"]
    model_servers: list[ModelServerDocument]
    queued: int
    drawing: int
    uptime_seconds: float


class HealthDocument(Document):
    status: Literal["ok", "draining"]


class ReadyDocument(Document):
    status: Literal["ready", "not_ready"]
