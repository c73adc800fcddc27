"""The parts of the full-size tests that run in their own processes, one model in memory at a time.

python -m tests.model_export.full_size draw FOLDER OUT.npz
python -m tests.model_export.full_size chunks FOLDER STEPS
python -m tests.model_export.full_size reference WEIGHTS OUT.npz
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from model_export.spec import WEIGHTS_LICENCE, ModelSpec
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT

IMAGE_SIZE = 256
EMPTY = [START_OF_TEXT] + [END_OF_TEXT] * 76
PROMPT = [START_OF_TEXT, 320, 27111, 9038, 320] + [END_OF_TEXT] * 72
STEPS, GUIDANCE, SEED = 4, 7.5, 11


def rows() -> dict[str, Any]:
    """A row of four steps, which keras_cv draws too, and a different one."""
    return {
        "tokens": np.array([PROMPT, EMPTY], np.int32),
        "negative_prompt_tokens": np.array([EMPTY, PROMPT], np.int32),
        "num_steps": np.array([STEPS, 1], np.int32),
        "guidance_scale": np.array([GUIDANCE, 2.0], np.float32),
        "seed": np.array([SEED, 5], np.int64),
    }


def draw(folder: Path, out: Path) -> None:
    """Both rows together, and the second one alone."""
    from devserver import flags
    from devserver.model import loading

    began = time.monotonic()
    loaded = loading.load(flags.Flags(), 1, folder / "1")
    load_seconds = time.monotonic() - began
    signature = loaded.signatures["tokens"]
    together = loaded.run(signature, rows(), ["images"], None)["images"]
    second = {name: value[1:] for name, value in rows().items()}
    alone = loaded.run(signature, second, ["images"], None)["images"]
    np.savez(out, together=together, alone=alone, load_seconds=load_seconds)


def chunks(folder: Path, num_steps: int) -> None:
    """Draws a picture whole and in chunks, which must be equal."""
    from bench.export_cost import one_row
    from devserver import flags
    from devserver.model import loading
    from tests.model_export.chunked import drawn_in_chunks

    loaded = loading.load(flags.Flags(), 1, folder / "1")

    def call(name: str, **inputs: Any) -> dict[str, Any]:
        signature = loaded.signatures[name]
        arrays = {alias: np.asarray(value) for alias, value in inputs.items()}
        return loaded.run(signature, arrays, [*signature.outputs], None)

    row = one_row(num_steps)
    whole = call("serving_default", **row)
    for split in ([1] * num_steps, [0, 3, num_steps]):
        chunked, _ = drawn_in_chunks(call, row, split)
        assert all((chunked[name] == whole[name]).all() for name in whole), split


def spec(kind: str) -> ModelSpec:
    """The model with "official" weights, or "random" ones."""
    return ModelSpec.for_family(
        "sd14", image_size=IMAGE_SIZE, weights=kind, accept_licence=WEIGHTS_LICENCE
    )


def reference(kind: str, out: Path) -> None:
    """The first row by keras_cv's own `generate_image`."""
    from model_export.sd14 import networks, weights
    from tests.model_export.keras_cv_reference import picture

    models = networks.build(IMAGE_SIZE, "float32")
    weights.fill(models.all(), spec(kind), lambda _done: None)
    drawn = picture(
        models,
        IMAGE_SIZE,
        tokens=np.array([PROMPT]),
        num_steps=STEPS,
        guidance_scale=GUIDANCE,
        seed=SEED,
    )
    np.savez(out, drawn=drawn)


if __name__ == "__main__":
    if sys.argv[1] == "draw":
        draw(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "chunks":
        chunks(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        reference(sys.argv[2], Path(sys.argv[3]))
