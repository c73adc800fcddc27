"""Scores an exported demo model on fixed prompts, and makes a contact sheet.

It scores the SavedModel itself, through the signature that a server runs: prompts in, PNG out.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export import contact_sheet as sheets
from model_export.demo import captions, scenes, scoring
from model_export.demo.held_out_captions import held_out_caption
from model_export.spec import ModelSpec

PROMPT_SETS = ("held-out combinations", "held-out wording")
DEFAULT_PROMPTS = 256
PROMPTS_SEED = 52_711
FIRST_IMAGE_SEED = 7_000
BATCH = 16

TARGETS = {"colour": 95.0, "shape": 90.0, "count": 90.0, "position": 90.0}
"""Percent that a release must reach on held-out combinations."""
WORDING_ALLOWANCE = 15.0
"""Points by which held-out wording may be below held-out combinations."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """One picture to draw, and what it should show."""

    prompt: str
    said: captions.Said | None = None
    negative_prompt: str = ""


SHEET = (
    "a large blue star on a black background",
    "a small red circle on white",
    "a small green square on white",
    "two green squares on grey",
    "a red circle and a blue square on white",
    "a yellow triangle in the top left corner",
    "a star",
    "blue circle",
    "a large orange square in the middle on a white background",
    "a tiny cyan star in the bottom right corner on black",
    "a medium purple triangle on the left, grey background",
    "a huge green circle on the right, white background",
    "a small yellow square at the top on black",
    "a big pink triangle at the bottom on grey",
    "a purple star in the upper right corner on white",
    "an orange circle in the lower left corner on gray",
    "a red star above a green triangle on black",
    "a yellow circle to the left of a purple square on white",
    "two pink stars side by side on black",
    "a pair of large blue triangles stacked on white",
    "a cyan square below an orange circle on grey",
    "a green star and a red star",
    "2 tiny red triangles",
    "a pink circle top left and a blue star bottom right on white",
    "A LARGE BLUE STAR ON A BLACK BACKGROUND",
    "a painting of a green triangle hanging on a white wall",
    "",
    "a photograph of an astronaut riding a horse",
)


class SavedModel:
    """An exported model, called as a server calls it."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf = tf
        self._loaded: Any = tf.saved_model.load(str(folder))
        self._serve: Any = self._loaded.signatures["serving_default"]

    def draw(
        self, requests: Sequence[Request], spec: ModelSpec, report: Report
    ) -> NDArray[np.uint8]:
        """Pictures uint8[n, 64, 64, 3], with a fixed seed for each index in the list."""
        from PIL import Image

        tf = self._tf
        pictures: list[NDArray[np.uint8]] = []
        started = reported = time.monotonic()
        for start in range(0, len(requests), BATCH):
            rows = requests[start : start + BATCH]
            n = len(rows)
            answer = self._serve(
                prompt=tf.constant([r.prompt for r in rows]),
                negative_prompt=tf.constant([r.negative_prompt for r in rows]),
                num_steps=tf.fill([n], spec.steps),
                guidance_scale=tf.fill([n], float(spec.guidance_scale)),
                seed=tf.range(start, start + n, dtype=tf.int64) + FIRST_IMAGE_SEED,
            )
            for data in answer["image_bytes"].numpy():
                pictures.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
            now = time.monotonic()
            if now - reported > 5:
                done = len(pictures)
                left = (now - started) / done * (len(requests) - done)
                report(f"  {done} of {len(requests)} pictures, {left:.0f} s left")
                reported = now
        return np.stack(pictures)


def prompt_set(name: str, count: int = DEFAULT_PROMPTS) -> list[Request]:
    """Fixed prompts that training never saw: new combinations, or new wordings."""
    rng = np.random.default_rng([PROMPTS_SEED, PROMPT_SETS.index(name)])
    requests: list[Request] = []
    for _ in range(count):
        if name == "held-out combinations":
            text, said = captions.caption(
                scenes.sample_scene(rng, held_out=True), rng, complete=True
            )
        else:
            text, said = held_out_caption(scenes.sample_scene(rng), rng)
        requests.append(Request(text, said))
    return requests


def score_set(
    model: SavedModel, requests: Sequence[Request], spec: ModelSpec, report: Report
) -> tuple[dict[str, tuple[float, int]], list[Request], NDArray[np.uint8]]:
    """(percentages, the requests that failed in anything, their pictures)."""
    pictures = model.draw(requests, spec, report)
    scores = [
        scoring.score(picture, request.said)
        for picture, request in zip(pictures, requests, strict=True)
        if request.said is not None
    ]
    failed = [i for i, one in enumerate(scores) if not one["everything"][0]]
    return scoring.percentages(scores), [requests[i] for i in failed], pictures[failed]


def targets(name: str) -> dict[str, float]:
    """What a release must reach on a set of prompts, percent by attribute."""
    allowance = 0.0 if name == PROMPT_SETS[0] else WORDING_ALLOWANCE
    return {attribute: target - allowance for attribute, target in TARGETS.items()}


def shortfalls(results: dict[str, dict[str, tuple[float, int]]]) -> list[str]:
    """One line for each missed target; empty if there is none."""
    missed: list[str] = []
    for name, results_of_set in results.items():
        for attribute, target in targets(name).items():
            percent, _ = results_of_set[attribute]
            if percent < target:
                missed.append(f"{name}: {attribute} {percent:.1f} % is below {target:g} %")
    return missed


def behaviours(model: SavedModel, spec: ModelSpec, report: Report) -> list[str]:
    """How the model handles an empty prompt, unknown words, and a negative prompt."""
    n = 32
    groups = {
        "empty prompt": [Request("")] * n,
        "unknown words": [Request("zeppelin quantum harpsichord")] * n,
        '"a circle"': [Request("a circle")] * n,
        '"a circle", negative prompt "red"': [Request("a circle", None, "red")] * n,
    }
    drawn = model.draw([r for rows in groups.values() for r in rows], spec, report)
    lines: list[str] = []
    for i, name in enumerate(groups):
        seen = [scoring.analyse(picture) for picture in drawn[i * n : (i + 1) * n]]
        clean = sum(1 <= len(s.shapes) <= 2 for s in seen)
        reds = sum(any(f.colour == 0 for f in s.shapes) for s in seen)
        circles = sum(bool(s.shapes) and s.shapes[0].shape == 0 for s in seen)
        lines.append(
            f"{name}: {clean} of {n} show one or two shapes; red {reds}, circles {circles}"
        )
    return lines


def contact_sheet(requests: Sequence[Request], pictures: NDArray[np.uint8], path: Path) -> None:
    """Write a contact sheet of the pictures with their prompts."""
    from PIL import Image

    tiles: list[tuple[Image.Image, str]] = []
    for request, picture in zip(requests, pictures, strict=True):
        text = request.prompt or "(empty prompt)"
        if request.negative_prompt:
            text += f" (not: {request.negative_prompt})"
        tiles.append((Image.fromarray(picture), text))
    sheet = sheets.contact_sheet(tiles)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
