"""The effect of the profile `fast` on the demo model: its scores, and its pictures' PSNR."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from model_export.demo import scoring
from model_export.demo.evaluate import PROMPT_SETS, Report, SavedModel, prompt_set
from model_export.profiles import EXACT, FAST, PROFILES, work
from model_export.spec import ModelSpec

ATTRIBUTES = ("colour", "shape", "position")
MAX_POINTS = 2.0
"""How far a score of fast may be below exact's, in percentage points."""
_PEAK = 255


@dataclass(frozen=True)
class Comparison:
    """Over all prompts: percent right by profile and attribute, and the number of requests.

    psnr_decibels is that of fast against exact, over the squared error of all pictures together.
    unet_share is the fraction of exact's U-Net rows that fast computes in full.
    """

    prompts: int
    steps: int
    percent: dict[str, dict[str, float]]
    asked: dict[str, int]
    psnr_decibels: float
    unet_share: float

    def shortfalls(self) -> list[str]:
        """One line for each score that is too far below exact's."""
        exact, fast = self.percent["exact"], self.percent["fast"]
        return [
            f"{name}: fast is {exact[name] - fast[name]:.1f} points below exact's {exact[name]:.1f}"
            for name in ATTRIBUTES
            if fast[name] < exact[name] - MAX_POINTS
        ]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(folder: Path, prompts: int, report: Report) -> Comparison:
    """Exports both profiles under folder, and draws this many prompts of each set with each."""
    from model_export.export import VERSION_FOLDER, export

    spec = ModelSpec()
    pictures: dict[str, np.ndarray] = {}
    requests = [request for name in PROMPT_SETS for request in prompt_set(name, prompts)]
    for profile in (EXACT, FAST):
        report(f"{profile}: exporting, then drawing {len(requests)} pictures")
        export(replace(spec, profile=profile), folder / profile)
        model = SavedModel(folder / profile / VERSION_FOLDER)
        pictures[profile] = model.draw(requests, spec, report)
    results = {
        profile: scoring.percentages(
            [
                scoring.score(picture, request.said)
                for picture, request in zip(drawn, requests, strict=True)
                if request.said is not None
            ]
        )
        for profile, drawn in pictures.items()
    }
    return Comparison(
        prompts=len(requests),
        steps=spec.steps,
        percent={
            profile: {name: found[name][0] for name in ATTRIBUTES}
            for profile, found in results.items()
        },
        asked={name: results["exact"][name][1] for name in ATTRIBUTES},
        psnr_decibels=psnr(pictures["exact"], pictures["fast"]),
        unet_share=_unet_share(spec.steps),
    )


def psnr(reference: np.ndarray, pictures: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures, in decibels; infinite for equal ones."""
    squared_error = np.mean((reference.astype(float) - pictures) ** 2)
    return float("inf") if squared_error == 0 else 10 * float(np.log10(_PEAK**2 / squared_error))


def _unet_share(num_steps: int) -> float:
    shortcuts = PROFILES["fast"]
    assert shortcuts is not None
    rows = sum((1 + step.is_guided) * step.is_whole for step in work(shortcuts, num_steps))
    return rows / (2 * num_steps)
