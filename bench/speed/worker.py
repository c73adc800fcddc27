"""One contender in a process of its own: loads, warms up, draws, and prints what it took.

    python -m bench.speed.worker CONTENDER FOLDER IMAGE_SIZE STEPS [STEPS ...]

The last line of its output is a JSON object; its peak memory is the kernel's, read by its parent.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.speed.contenders import CONTENDERS


def main(arguments: Sequence[str]) -> None:
    key, folder, image_size, *steps = arguments
    contender = next(one for one in CONTENDERS if one.key == key)
    engine = importlib.import_module(f"bench.speed.engines.{contender.engine}")
    draw = engine.load(contender, Path(folder), int(image_size))
    load_seconds = time.time() - psutil.Process().create_time()
    draw(1)  # what happens at the first picture only
    ready_seconds = time.time() - psutil.Process().create_time()
    picture_seconds: dict[str, list[float]] = {}
    for num_steps in steps:
        began = time.monotonic()
        draw(int(num_steps))
        picture_seconds.setdefault(num_steps, []).append(time.monotonic() - began)
    measured = {
        "load_seconds": load_seconds,
        "ready_seconds": ready_seconds,
        "picture_seconds": picture_seconds,
    }
    print("\n" + json.dumps(measured))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    main(sys.argv[1:])
