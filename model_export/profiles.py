"""Profiles: which of the networks' work a picture may skip, and at which steps.

`exact` skips nothing. `fast` skips the negative half of the guidance pair in the late steps, where
it hardly differs from the other half (arXiv:2312.12487), and at every other step reuses the deep
part of the U-Net from the step before (DeepCache, arXiv:2312.00858). `instant` skips nothing
either, but has other defaults: LCM-LoRA, its sampler, four steps without guidance, and the tiny
decoder. Imports nothing heavy: settings and clients read the names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

EXACT, FAST, INSTANT = "exact", "fast", "instant"


@dataclass(frozen=True)
class Shortcuts:
    """What a profile skips. The defaults skip nothing.

    guided_fraction: this part of a run's steps, from the first, is guided; the rest follow the
    prompt alone. cache_interval: the whole U-Net runs at least once in this many steps; in between,
    only the layers above the cut run. first_whole_steps: this many steps at the start are always
    whole, because they decide the composition. cut: one less than the number of the U-Net's last
    blocks that run at every step; DeepCache's "branch".
    """

    guided_fraction: float = 1.0
    cache_interval: int = 1
    first_whole_steps: int = 0
    cut: int = 0


PROFILES: dict[str, Shortcuts | None] = {
    EXACT: None,
    FAST: Shortcuts(guided_fraction=0.5, cache_interval=2, first_whole_steps=3),
    INSTANT: None,
}


class StepWork(NamedTuple):
    """What one step computes."""

    is_guided: bool
    is_whole: bool


def work(shortcuts: Shortcuts, num_steps: int) -> list[StepWork]:
    """What each step of a run of num_steps computes.

    The last step is whole, because no later step corrects it. So is the first step without
    guidance, because the cache then holds other rows.
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
