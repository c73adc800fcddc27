"""What a run measured: stored as JSON, read back, and turned into figures with their spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.speed.machine import Machine

FORMAT = 4
NOT_SELECTED = "not selected"
"""The obstacle of those that a run was told to leave out."""


class Figure(NamedTuple):
    """The median of a measured number over the rounds, and its lowest and highest value."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Round:
    """One process: seconds from its start until the model was loaded, and until its first picture
    was drawn; seconds per picture, by number of steps; and its peak memory.

    together: the keys of all contenders that took turns, this one included. number: of the round.
    Of several pictures with the same number of steps the fastest counts: other load only adds time.
    """

    load_seconds: float
    ready_seconds: float
    picture_seconds: dict[int, list[float]]
    peak_bytes: int
    together: tuple[str, ...] = ()
    number: int = 1

    @property
    def step_seconds(self) -> float:
        """A guidance step: the mean over the longest picture's, without those of the shortest."""
        least, most = min(self.picture_seconds), max(self.picture_seconds)
        return (self._fastest(most) - self._fastest(least)) / (most - least)

    @property
    def decoder_seconds(self) -> float:
        """A picture without its steps: the decoder, and the much smaller text encoder and PNG."""
        least = min(self.picture_seconds)
        return self._fastest(least) - least * self.step_seconds

    def seconds_for(self, steps: int) -> float:
        """A picture of this many steps: as measured, or computed from equal steps."""
        if steps in self.picture_seconds:
            return self._fastest(steps)
        return self.decoder_seconds + steps * self.step_seconds

    def _fastest(self, steps: int) -> float:
        return min(self.picture_seconds[steps])


@dataclass(frozen=True)
class Result:
    """One contender's rounds, or why it has none. steps: of its whole picture."""

    key: str
    label: str
    precision: str
    steps: int
    rounds: tuple[Round, ...] = ()
    obstacle: str | None = None

    def figure(self, of_round: Callable[[Round], float]) -> Figure:
        return Figure.of([of_round(one) for one in self.rounds])

    def beside(self, other: Result) -> list[tuple[Round, Round]]:
        """Pairs of rounds in which the two took turns; if there are none, pairs in order."""
        turns = {(one.together, one.number): one for one in other.rounds}
        pairs = [(one, turns.get((one.together, one.number))) for one in self.rounds]
        found = [(one, beside) for one, beside in pairs if beside]
        return found or list(zip(self.rounds, other.rounds, strict=False))

    def picture(self) -> Figure:
        return self.figure(lambda one: one.seconds_for(self.steps))


@dataclass(frozen=True)
class Results:
    """A whole run. replicas: pictures per second of one server and of two, for each round.

    quality is the comparison of profiles by `model_export.demo.compare`. section: the name of the
    document's section for this run alone; empty for that of all the machine's contenders.
    """

    is_quick: bool
    image_size: int
    machine: Machine
    contenders: tuple[Result, ...]
    replicas: dict[str, list[float]] | None = None
    quality: dict[str, Any] | None = None
    section: str = ""

    @property
    def selected(self) -> tuple[Result, ...]:
        """Without those that the run was told to leave out."""
        return tuple(one for one in self.contenders if one.obstacle != NOT_SELECTED)

    @property
    def is_part(self) -> bool:
        return self.selected != self.contenders

    def has(self, *keys: str) -> bool:
        """Whether these are among the contenders of its time, and were not left out."""
        return {*keys} <= {one.key for one in self.selected}

    def of(self, key: str) -> Result:
        return next(one for one in self.contenders if one.key == key)

    def write(self, path: Path) -> None:
        document = {
            "format": FORMAT,
            "isQuick": self.is_quick,
            "imageSize": self.image_size,
            "machine": self.machine.to_json(),
            "contenders": [asdict(one) for one in self.contenders],
            "replicas": self.replicas,
            "quality": self.quality,
            "section": self.section,
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """Reads what `Results.write` wrote. Raises ValueError for another format."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise ValueError(f"{path} has another format; run make bench again")
    return Results(
        is_quick=document["isQuick"],
        image_size=document["imageSize"],
        machine=Machine.from_json(document["machine"]),
        contenders=tuple(_result(one) for one in document["contenders"]),
        replicas=document["replicas"],
        quality=document["quality"],
        section=document.get("section", ""),
    )


def _result(values: dict[str, Any]) -> Result:
    fields: dict[str, Any] = {**values, "rounds": tuple(map(_round, values["rounds"]))}
    return Result(**fields)


def _round(values: dict[str, Any]) -> Round:
    seconds = {int(steps): some for steps, some in values["picture_seconds"].items()}
    fields: dict[str, Any] = {
        **values,
        "picture_seconds": seconds,
        "together": tuple(values["together"]),
    }
    return Round(**fields)
