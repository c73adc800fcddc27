"""Profiles: which of the networks' work a picture may leave out, and at which steps.

`exact` leaves out nothing. `fast` saves the guidance pair's negative half in the late steps, where
it hardly differs from the other (arXiv:2312.12487), and takes the deep part of the U-Net from the
step before at every other step (DeepCache, arXiv:2312.00858). Imports nothing heavy: settings and
clients read the names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

EXACT, FAST = "exact", "fast"


@dataclass(frozen=True)
class Shortcuts:
    """What a profile leaves out. The defaults leave out nothing.

    guided_fraction: of a run's steps, the first so many are guided; the rest follow the prompt
    alone. cache_interval: the whole U-Net runs at every so many steps at least, and in between
    only the layers above the cut. first_whole_steps: the first so many steps are always whole,
    because they decide the composition. cut: how many blocks of the U-Net's last ones, less one,
    run at every step; DeepCache's "branch".
    """

    guided_fraction: float = 1.0
    cache_interval: int = 1
    first_whole_steps: int = 0
    cut: int = 0


PROFILES: dict[str, Shortcuts | None] = {
    EXACT: None,
    FAST: Shortcuts(guided_fraction=0.5, cache_interval=2, first_whole_steps=3),
}


class StepWork(NamedTuple):
    """What one step computes."""

    is_guided: bool
    is_whole: bool


def work(shortcuts: Shortcuts, num_steps: int) -> list[StepWork]:
    """What each step of a run of num_steps computes.

    The last step is whole, because nothing after it corrects it, and so is the first that is not
    guided, whose rows are other ones than the cache's.
    """
    unguided = math.ceil(shortcuts.guided_fraction * num_steps)
    forced = {*range(max(1, shortcuts.first_whole_steps)), unguided, num_steps - 1}
    steps: list[StepWork] = []
    last_whole = 0
    for i in range(num_steps):
        if i in forced or i - last_whole >= shortcuts.cache_interval:
            last_whole = i
        steps.append(StepWork(i < unguided, last_whole == i))
    return steps
