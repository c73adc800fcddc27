"""Times an `up` with nothing to do: the embedded engine against the official CLI, in one run.

    python bench/engine_noop.py [--runs 9]

Deploys the stack `local` in a copy of this checkout, then runs `up --refresh`, as `make up` does,
with both engines in turn, so that a busy machine slows both. The official CLI must be on PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.deploy.checkout import Checkout, copy_checkout  # noqa: E402

UP = ["up", "--yes", "--refresh", "--stack", "local", "--non-interactive"]
ENGINES = {"embedded": [".venv/bin/python", "-m", "engine"], "official": ["pulumi"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9, help="runs of each engine [9]")
    runs = parser.parse_args().runs
    if shutil.which("pulumi") is None:
        sys.exit("error: the official Pulumi CLI is not on PATH; install it to compare with it")
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "checkout", "embedded")
        checkout.make("up")
        try:
            report(measure(checkout, runs))
        finally:
            checkout.make("down")


def measure(checkout: Checkout, runs: int) -> dict[str, list[float]]:
    """Seconds of each run, by engine. The engines alternate in going first."""
    for engine in ENGINES:  # warm-up
        seconds_of_noop(checkout, engine)
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for turn in range(runs):
        for engine in sorted(ENGINES, reverse=turn % 2 == 1):
            seconds[engine].append(seconds_of_noop(checkout, engine))
    return seconds


def seconds_of_noop(checkout: Checkout, engine: str) -> float:
    environment = {
        **os.environ,
        "PULUMI_HOME": str(checkout.folder / ".pulumi-home"),
        "PULUMI_BACKEND_URL": f"file://{checkout.folder}/.state",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    started = time.monotonic()
    ran = subprocess.run(
        [*ENGINES[engine], *UP],
        cwd=checkout.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    seconds = time.monotonic() - started
    changed = any(word in ran.stdout for word in ("created", "updated", "replaced", "deleted"))
    if ran.returncode != 0 or changed or "unchanged" not in ran.stdout:
        sys.exit(f"error: the {engine} engine changed something, or failed:\n{ran.stdout}")
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    runs = len(seconds["embedded"])
    print(f"`up --refresh` of the stack local without changes, {runs} runs each, alternating:")
    for engine, times in seconds.items():
        print(
            f"  {engine}  median {statistics.median(times):.2f} s "
            f"({min(times):.2f} to {max(times):.2f} s)"
        )
    ratios = [
        ours / theirs for ours, theirs in zip(seconds["embedded"], seconds["official"], strict=True)
    ]
    print(
        f"  embedded / official: median {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
