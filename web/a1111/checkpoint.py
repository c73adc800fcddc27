"""The served model as what AUTOMATIC1111 calls a checkpoint, and its one sampler."""

from __future__ import annotations

from dataclasses import dataclass

from prediction.description import Served
from prediction.errors import one_line
from web.pictures import infotext, samplers

AUTOMATIC = "Automatic"
_MAX_QUOTED_CHARACTERS = 60


@dataclass(frozen=True)
class Checkpoint:
    """served_as: the model's name at the model server. hash: empty if the model does not say."""

    name: str
    hash: str
    served_as: str
    sampler: str | None
    schedule: str

    @property
    def title(self) -> str:
        return f"{self.name} [{self.hash}]" if self.hash else self.name

    def is_called(self, name: str) -> bool:
        """Whether clients mean this model by `name`: its title, name or hash."""
        return name in (self.title, self.name, self.hash, self.served_as)

    def sampler_note(self, sampler: str | None, schedule: str | None) -> str | None:
        """What to say where a client wants another sampler than the model's only one."""
        asked = " ".join(part for part in (sampler, schedule) if part)
        if not asked or self._is_its_own(sampler, schedule):
            return None
        own = f"{self.sampler} {self.schedule}" if self.sampler else "the model's own"
        return f"sampler {own} instead of {short(asked)}: the model has no other"

    def _is_its_own(self, sampler: str | None, schedule: str | None) -> bool:
        own, own_schedule = (self.sampler or "").lower(), self.schedule.lower()
        asked = (sampler or own).lower()
        asked_schedule = (schedule or AUTOMATIC).lower().replace("_", " ")
        # Older clients join the two: "DPM++ 2M Karras".
        return asked in (own, f"{own} {own_schedule}") and asked_schedule in (
            AUTOMATIC.lower(),
            own_schedule,
        )


def of(served: Served, served_as: str) -> Checkpoint:
    """The checkpoint that is served. served_as: its name if the model does not say one."""
    sampler, schedule = samplers.of(served) or (None, AUTOMATIC)
    described = served.description
    return Checkpoint(
        name=infotext.model_name(served) or served_as,
        hash=infotext.model_hash(described.fingerprint) if described else "",
        served_as=served_as,
        sampler=sampler,
        schedule=schedule,
    )


def short(text: str) -> str:
    """A caller's text, fit to quote in a note."""
    line = one_line(text)
    if len(line) <= _MAX_QUOTED_CHARACTERS:
        return line
    return f"{line[:_MAX_QUOTED_CHARACTERS]}…"
