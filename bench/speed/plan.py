"""How much a run measures."""

from __future__ import annotations

from dataclasses import dataclass

from bench.speed.contenders import Contender
from model_export.profiles import EXACT

SOME_STEPS = 5
"""The time of a picture of this many, minus that of the shortest, gives that of a step."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    shorten: the number of steps of a whole picture is divided by it. prompts: 0 for no scores.
    pictures: how many of those that `drawn` lists each contender draws in a round.
    whole_rounds: in this many rounds, from the first, every contender draws a whole picture. In the
    others only `fast` does, whose steps differ, and those of few steps; for the rest, whose steps
    are alike, the time of a whole picture is computed from one step's.
    """

    image_size: int
    rounds: int
    whole_rounds: int
    shorten: int
    prompts: int
    pictures: int = 3

    @property
    def is_quick(self) -> bool:
        return self.shorten > 1

    def steps(self, contender: Contender) -> int:
        return max(1, contender.steps // self.shorten)

    def drawn(self, contender: Contender, number: int) -> list[int]:
        """The number of steps of each picture in round `number`, counted from 1."""
        is_always = contender.profile != EXACT or bool(contender.sampler)
        is_whole = is_always or number <= self.whole_rounds
        whole = self.steps(contender)
        fewest = contender.fewest_steps
        # A picture of the fewest does not tell the step's time from the decoder's.
        every = [fewest, whole if is_whole and whole > fewest else SOME_STEPS, fewest]
        return every[: self.pictures]


FULL = Plan(image_size=384, rounds=3, whole_rounds=0, shorten=1, prompts=48)
QUICK = Plan(image_size=256, rounds=1, whole_rounds=0, shorten=4, prompts=0, pictures=2)
