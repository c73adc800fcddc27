"""A SavedModel run as the local server runs it: prompt in, PNG out, at the model's own guidance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.export_cost import one_row
from bench.speed.contenders import Contender
from bench.speed.models import folder_of, spec


def load(contender: Contender, folder: Path, image_size: int) -> Callable[[int], None]:
    from devserver import flags
    from devserver.model import loading

    version_folder = folder_of(contender, folder, image_size) / "1"
    loaded = loading.load(flags.Flags(), 1, version_folder)
    signature = loaded.signatures["serving_default"]
    guidance_scale = spec(contender, image_size).guidance_scale

    def draw(num_steps: int) -> None:
        loaded.run(signature, one_row(num_steps, guidance_scale), ["image_bytes"], None)

    return draw
