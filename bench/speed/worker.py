"""One contender in its own process: loads, draws once, then draws on request.

    echo 1 | python -m bench.speed.worker CONTENDER FOLDER IMAGE_SIZE

Each line of its input is a number of steps. Each line of its output is a JSON object: the first has
the seconds from the start of the process until the model was loaded, and until the first picture,
of one step, was drawn; the others have the seconds for a picture, and the peak memory so far.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TextIO

import psutil

from bench.speed.contenders import CONTENDERS


def main(arguments: Sequence[str], requests: Iterable[str], answers: TextIO) -> None:
    key, folder, image_size = arguments
    contender = next(one for one in CONTENDERS if one.key == key)
    engine = importlib.import_module(f"bench.speed.engines.{contender.engine}")
    draw: Callable[[int], None] = engine.load(contender, Path(folder), int(image_size))
    load_seconds = time.time() - psutil.Process().create_time()
    draw(1)  # includes what only the first picture costs
    ready_seconds = time.time() - psutil.Process().create_time()

    def answer(values: dict[str, float]) -> None:
        print(json.dumps(values), file=answers, flush=True)

    answer({"load_seconds": load_seconds, "ready_seconds": ready_seconds})
    for line in requests:
        began = time.monotonic()
        draw(int(line))
        seconds = time.monotonic() - began
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer({"seconds": seconds, "peak_bytes": peak_bytes})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)  # so that a library's prints do not mix with the answers
        main(sys.argv[1:], sys.stdin, output)
