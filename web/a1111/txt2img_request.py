"""What callers of `/sdapi/v1/txt2img` write, and the wish that it becomes.

Clients send some forty fields with their defaults: only a value that asks for something counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from web.a1111 import settings
from web.a1111.checkpoint import Checkpoint, short
from web.a1111.errors import not_offered
from web.jobs.job import Api, Owner
from web.jobs.wishes import Wish
from web.pictures import syntax

RANDOM_SEED = -1
NO_SCRIPT = ("", "None")
MAX_WHOLE = 2**53
"""Larger numbers are no whole numbers to JavaScript."""

IDLE_VALUES: dict[str, tuple[object, ...]] = {
    "clip_skip": (1,),
    "eta": (1,),
    "firstpass_image": (),
    "refiner_checkpoint": ("None",),
    "restore_faces": (),
    "s_churn": (),
    "s_min_uncond": (),
    "s_noise": (1,),
    "s_tmin": (),
    "save_images": (),
    "seed_resize_from_h": (-1,),
    "seed_resize_from_w": (-1,),
    "styles": (),
    "subseed_strength": (),
    "tiling": (),
}
"""Fields that the model cannot honour, and the values, beside empty ones, that ask for nothing."""

IDLE_FIELDS = frozenset(
    {
        *("comments", "denoising_strength", "disable_extra_networks", "distilled_cfg_scale"),
        *("do_not_save_grid", "do_not_save_samples", "firstphase_height", "firstphase_width"),
        *("hr_cfg", "hr_checkpoint_name", "hr_negative_prompt", "hr_prompt", "hr_resize_x"),
        *("hr_resize_y", "hr_sampler_name", "hr_scale", "hr_scheduler", "hr_second_pass_steps"),
        *("hr_upscaler", "override_settings_restore_afterwards", "refiner_switch_at"),
        *("s_tmax", "script_args", "subseed"),
    }
)
"""Fields that by themselves change no picture: they go with others, or with saving to a folder."""


class TextToImage(BaseModel):
    """The body of the request. None: the caller left it out, or wrote null."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = None
    negative_prompt: str | None = None
    steps: int | None = Field(default=None, ge=-MAX_WHOLE, le=MAX_WHOLE)
    cfg_scale: float | None = Field(default=None, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-MAX_WHOLE, le=MAX_WHOLE)
    width: int | None = Field(default=None, ge=-MAX_WHOLE, le=MAX_WHOLE)
    height: int | None = Field(default=None, ge=-MAX_WHOLE, le=MAX_WHOLE)
    batch_size: int | None = Field(default=None, ge=1, le=MAX_WHOLE)
    n_iter: int | None = Field(default=None, ge=1, le=MAX_WHOLE)
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    override_settings: dict[str, object] | None = None
    enable_hr: bool | None = None
    script_name: str | None = None
    alwayson_scripts: dict[str, object] | None = None
    infotext: str | None = None
    send_images: bool | None = None
    force_task_id: str | None = None
    strict_size: bool | None = Field(default=None, alias="strictSize")

    def wish(self, checkpoint: Checkpoint, owner: Owner) -> Wish:
        """What it asks of the queue. Raises FaultError."""
        self._refuse_other_pictures()
        prompt = syntax.plain(self.prompt or "")
        negative = syntax.plain(self.negative_prompt or "")
        notes = dict.fromkeys((*prompt.notes, *negative.notes, *self._notes(checkpoint)))
        return Wish(
            prompt=prompt.text,
            api=Api.A1111,
            owner=owner,
            job_id=self.force_task_id or "",
            negative_prompt=None if self.negative_prompt is None else negative.text,
            steps=self.steps,
            guidance_scale=self.cfg_scale,
            seed=None if self.seed == RANDOM_SEED else self.seed,
            count=(self.batch_size or 1) * (self.n_iter or 1),
            width=self.width,
            height=self.height,
            strict_size=bool(self.strict_size),
            notes=tuple(notes),
        )

    def echo(self) -> dict[str, object]:
        """The fields of A1111's that the caller wrote."""
        written = self.model_dump(exclude_unset=True, by_alias=True)
        unknown = set(self.model_extra or {}) - IDLE_FIELDS - IDLE_VALUES.keys()
        return {name: value for name, value in written.items() if name not in unknown}

    def _refuse_other_pictures(self) -> None:
        """What would make another picture altogether is not left out."""
        if self.enable_hr:
            raise not_offered("enable_hr", "the model has one size; leave it out")
        if self.script_name not in (None, *NO_SCRIPT):
            raise not_offered(f"the script {short(self.script_name)}", "leave out script_name")
        if self.alwayson_scripts:
            names = settings.named(self.alwayson_scripts)
            raise not_offered(f"alwayson_scripts ({names})", "leave it empty")
        if self.infotext:
            raise not_offered("infotext", "send its values as fields")

    def _notes(self, checkpoint: Checkpoint) -> Iterator[str]:
        overrides = self.override_settings or {}
        other = settings.other_checkpoint(overrides, checkpoint)
        if other:
            yield f"drawn by {checkpoint.title} instead of {other}: no other model is served"
        sampler = checkpoint.sampler_note(self.sampler_name or self.sampler_index, self.scheduler)
        if sampler:
            yield sampler
        extra = {name: value for name, value in (self.model_extra or {}).items() if value}
        ignored = [f"override_settings.{name}" for name in settings.ignored(overrides, checkpoint)]
        ignored += [
            name for name, idle in IDLE_VALUES.items() if name in extra and extra[name] not in idle
        ]
        if ignored:
            yield f"not offered, and ignored: {settings.named(ignored)}"
        unknown = [name for name in extra if name not in IDLE_VALUES and name not in IDLE_FIELDS]
        if unknown:
            yield f"not understood: {settings.named(unknown)}"
