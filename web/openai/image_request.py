"""What callers of `/v1/images/generations` write: OpenAI's fields, and others' beside them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from prediction.errors import one_line
from web.faults import FaultError
from web.jobs.job import Api, Owner
from web.jobs.wishes import Wish
from web.options import Options
from web.pictures.formats import Format, parse_size

RANDOM_SEED = -1
"""As other tools write "choose one"."""

AUTO = "auto"
MAX_WHOLE = 2**64
"""Some tools draw seeds of as many bits; anything larger is a mistake."""

BASE64_ONLY = ("gpt-image", "chatgpt-image")
"""Models (by the start of their names) whose pictures OpenAI never answers as an address."""

WITHOUT_EFFECT: dict[str, tuple[frozenset[str], str]] = {
    "quality": (frozenset({AUTO, "standard"}), "only steps change how finely it draws"),
    "style": (frozenset(), "say the style in the prompt"),
    "background": (frozenset({AUTO, "opaque"}), "its pictures are opaque"),
    "moderation": (frozenset({AUTO}), "nothing is moderated"),
    "user": (frozenset(), "users are not told apart by it"),
    "safety_identifier": (frozenset(), "users are not told apart by it"),
}
"""Fields of OpenAI's that change nothing here: the values that ask for nothing, and why."""

MAX_NAMED_FIELDS, MAX_NAME_CHARACTERS = 8, 40
"""Of the fields that nobody knows: an answer's header is short."""


class ResponseFormat(StrEnum):
    URL = "url"
    BASE64 = "b64_json"


class ImageRequest(BaseModel):
    """The body of the request. None: the caller left it out, or wrote null."""

    model_config = ConfigDict(extra="allow")

    prompt: str
    model: str | None = None
    n: int | None = Field(default=None, ge=1, le=MAX_WHOLE)
    size: str | None = None
    response_format: ResponseFormat | None = None
    output_format: Format | None = None
    output_compression: int | None = Field(default=None, ge=0, le=100)
    stream: bool | None = None
    partial_images: int | None = Field(default=None, ge=0, le=3)

    # OpenAI's API has none of these; its SDKs send them by `extra_body`.
    seed: int | None = Field(default=None, ge=-MAX_WHOLE, le=MAX_WHOLE)
    negative_prompt: str | None = None
    steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WHOLE,
        validation_alias=AliasChoices("steps", "num_inference_steps"),
    )
    guidance_scale: float | None = Field(
        default=None,
        allow_inf_nan=False,
        validation_alias=AliasChoices("guidance_scale", "cfg_scale"),
    )
    strict_size: bool | None = Field(
        default=None, validation_alias=AliasChoices("strictSize", "strict_size")
    )
    strict_model: bool | None = Field(
        default=None, validation_alias=AliasChoices("strictModel", "strict_model")
    )

    @property
    def file_format(self) -> Format:
        return self.output_format or Format.PNG

    @property
    def quality(self) -> int:
        """Of JPEG and WebP; OpenAI's default is the best."""
        return 100 if self.output_compression is None else self.output_compression

    @property
    def gives_base64(self) -> bool:
        return self.response_format is not ResponseFormat.URL

    @property
    def gives_url(self) -> bool:
        """Some tools read only `url`, others only `b64_json`: without a wish they get both."""
        if self.response_format is not None:
            return self.response_format is ResponseFormat.URL
        return not (self.model or "").startswith(BASE64_ONLY)

    def wish(self, options: Options, owner: Owner, deadline_seconds: float | None) -> Wish:
        """What it asks of the queue. Raises FaultError. options: the service's."""
        model_name, count = options.model_name, self.n or 1
        if count > options.max_count:
            raise FaultError(
                400,
                f"n must be from 1 to {options.max_count}, not {count}",
                param="n",
                code="invalid_value",
            )
        if self.strict_model and self.model not in (None, model_name):
            raise model_not_found(self.model or "", model_name)
        width, height = self._size()
        return Wish(
            prompt=self.prompt,
            api=Api.OPENAI,
            owner=owner,
            negative_prompt=self.negative_prompt,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            seed=None if self.seed == RANDOM_SEED else self.seed,
            count=count,
            width=width,
            height=height,
            strict_size=bool(self.strict_size),
            deadline_seconds=deadline_seconds,
            notes=tuple(self._notes(model_name)),
        )

    def _size(self) -> tuple[int | None, int | None]:
        if self.size is None or self.size == AUTO:
            return None, None
        size = parse_size(self.size)
        if size is None:
            raise FaultError(
                400,
                f"size must be auto or WIDTHxHEIGHT, such as 512x512, not {one_line(self.size)!r}",
                param="size",
                code="invalid_value",
            )
        return size

    def _notes(self, model_name: str) -> list[str]:
        notes: list[str] = []
        if self.model not in (None, model_name):
            notes.append(f"model {_short(self.model or '')} is served by {model_name}")
        if self.output_compression is not None and self.file_format is Format.PNG:
            notes.append("output_compression is ignored: PNG loses nothing")
        if self.partial_images and not self.stream:
            notes.append("partial_images is ignored: it needs stream")
        unknown: list[str] = []
        for name, value in (self.model_extra or {}).items():
            if value is None:
                continue
            if name not in WITHOUT_EFFECT:
                unknown.append(_short(name))
                continue
            asks_nothing, why = WITHOUT_EFFECT[name]
            if not (isinstance(value, str) and value in asks_nothing):
                notes.append(f"{name} is ignored: {why}")
        if unknown:
            more = ", …" if len(unknown) > MAX_NAMED_FIELDS else ""
            notes.append(f"not understood: {', '.join(unknown[:MAX_NAMED_FIELDS])}{more}")
        return notes


def model_not_found(name: str, model_name: str) -> FaultError:
    return FaultError(
        404,
        f"the model {_short(name)} is not here: leave model out, or use {model_name}",
        param="model",
        code="model_not_found",
    )


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= MAX_NAME_CHARACTERS else line[:MAX_NAME_CHARACTERS] + "…"
