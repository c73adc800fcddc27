"""The cost of exporting, loading and running Stable Diffusion: seconds, memory, disk.

    python -m bench.export_cost
    python -m bench.export_cost --sizes 256 --precisions float32 --steps 4

The weights are random, which cost as much as the real ones, without the download. Each figure comes
from its own process (the peak is the kernel's VmHWM) and is printed next to its target. The last
peak is that of a process that loads the model into a TensorFlow session and draws one picture.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export.spec import WEIGHTS_LICENCE

ROOT = Path(__file__).resolve().parents[1]
SIZES = (256, 384, 512, 768)
PRECISIONS = ("float32", "bfloat16")
EXPORT_SECONDS_TARGET = 300.0
EXPORT_PEAK_TARGET_BYTES = {"float32": 10e9, "bfloat16": 8e9}
GRAPH_TARGET_BYTES = 20e6
LOAD_SECONDS_TARGET = 60.0
RANDOM_WEIGHTS = "random:7"


@dataclass(frozen=True)
class Usage:
    """What one process used."""

    output: str
    seconds: float
    peak_bytes: int


def measured(command: Sequence[str]) -> Usage:
    """Runs a command and waits for it. Raises CalledProcessError if it fails."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return Usage(text, time.monotonic() - began, usage.ru_maxrss * 1024)


def export(
    base: Path, image_size: int, precision: str, *more: str, weights: str = RANDOM_WEIGHTS
) -> tuple[Path, Usage]:
    """Exports a model under base; returns its folder, and what the export used."""
    usage = measured(
        [
            *(sys.executable, "-m", "model_export", "export", "--to", base.as_uri()),
            *("--family", "sd14", "--weights", weights),
            *("--accept-licence", WEIGHTS_LICENCE),
            *("--image-size", str(image_size), "--precision", precision, *more),
        ]
    )
    (folder,) = (path.parent for path in base.glob("*/manifest.json"))
    return folder, usage


def draw(folder: Path, num_steps: int) -> dict[str, float]:
    """Loads the model as a server does, and draws one picture. Returns the seconds of both."""
    from devserver import flags
    from devserver.model import loading

    began = time.monotonic()
    loaded = loading.load(flags.Flags(), 1, folder / "1")
    ready = time.monotonic()
    inputs = one_row(num_steps)
    signature = loaded.signatures["serving_default"]
    loaded.run(signature, inputs, ["image_bytes"], None)
    return {"load_seconds": ready - began, "picture_seconds": time.monotonic() - ready}


def one_row(num_steps: int, guidance_scale: float = 7.5) -> dict[str, Any]:
    """The inputs of `serving_default` for one picture."""
    import numpy as np

    return {
        "prompt": np.array([b"a lighthouse in a storm"], dtype=np.object_),
        "negative_prompt": np.array([b""], dtype=np.object_),
        "num_steps": np.array([num_steps], np.int32),
        "guidance_scale": np.array([guidance_scale], np.float32),
        "seed": np.array([1], np.int64),
    }


def _report(image_size: int, precision: str, num_steps: int, parent: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as temporary:
        base = Path(temporary) / "models"
        folder, exporting = export(base, image_size, precision)
        graph_bytes = (folder / "1" / "saved_model.pb").stat().st_size
        drawing = measured(
            [sys.executable, "-m", "bench.export_cost", "draw", str(folder), str(num_steps)]
        )
        seconds = json.loads(drawing.output)
    peak_target = EXPORT_PEAK_TARGET_BYTES[precision]
    print(
        f"{image_size} px {precision}: "
        f"export {exporting.seconds:.0f} s ({exporting.seconds / EXPORT_SECONDS_TARGET:.2f} of "
        f"target), peak {exporting.peak_bytes / 1e9:.2f} GB "
        f"({exporting.peak_bytes / peak_target:.2f}), graph {graph_bytes / 1e6:.1f} MB "
        f"({graph_bytes / GRAPH_TARGET_BYTES:.2f}), load {seconds['load_seconds']:.0f} s "
        f"({seconds['load_seconds'] / LOAD_SECONDS_TARGET:.2f}), {num_steps}-step picture "
        f"{seconds['picture_seconds']:.0f} s, peak {drawing.peak_bytes / 1e9:.2f} GB",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:2] == ["draw"]:
        print(json.dumps(draw(Path(sys.argv[2]), int(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(
        prog="python -m bench.export_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--steps", type=int, default=2, help="steps of the picture [2]")
    parser.add_argument(
        "--folder", type=Path, help="for the models, 9 GB; default: the system's temporary folder"
    )
    options = parser.parse_args()
    for precision in options.precisions:
        for image_size in options.sizes:
            _report(image_size, precision, options.steps, options.folder)


if __name__ == "__main__":
    main()
