"""What was tried for speed: each rewritten layer, and settings around the exported layers.

    python -m bench.speed.tried
    python -m bench.speed.tried --only "pages of 2 MB"     keeps the machine's other figures

Writes this machine's file in docs/tried, and the tables of all machines to docs/benchmarks.md.
Every run is a process of `bench.layers`, whose help explains the figures.
`make bench ARGS=--tried` ends with this. It takes about half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.export_cost import ROOT
from bench.layers import EXPORTED, KERAS_CV, NETWORKS
from bench.speed import report
from bench.speed.machine import this_machine
from bench.speed.results import Figure

FOLDER = ROOT / "docs" / "tried"
BEGIN, END = "<!-- made by bench.speed.tried: begin -->", "<!-- made by bench.speed.tried: end -->"
LAYERS, ROUGH, BASELINE = "layers", "bfloat16", "as it is"
TWICE, ONCE = "optimized twice, as it is", "optimized once"
Found = Mapping[str, Sequence[Mapping[str, Any]]]
"""What `bench.layers --json` wrote, by the run's name. Not every machine has all runs."""


@dataclass(frozen=True)
class Run:
    """Arguments of `bench.layers`, and its extra environment variables."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


_SETTINGS: Mapping[str, Mapping[str, str]] = {
    BASELINE: {},
    "oneDNN's kernels wherever there are any": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "oneDNN's kernels nowhere": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "pages of 2 MB": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "one arena that gives no memory back": {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_TOP_PAD_": "268435456",
    },
}
RUNS: Mapping[str, Run] = {
    LAYERS: Run(("--rounds", "2")),
    **{name: Run(("--only", EXPORTED), settings) for name, settings in _SETTINGS.items()},
    TWICE: Run(("--first-runs", "--only", EXPORTED)),
    ONCE: Run(("--first-runs", "--optimize-once", "--only", EXPORTED)),
    ROUGH: Run(("--precision", "bfloat16", "--rounds", "2", "--only", KERAS_CV, EXPORTED)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed.tried",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    some = ", ".join(f'"{name}"' for name in RUNS)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), metavar="RUN", help=f"of {some}")
    only: Sequence[str] | None = parser.parse_args(arguments).only
    machine = this_machine()
    title, path = report.title(machine), FOLDER / f"{report.name(machine)}.json"
    before = read().get(title, {}) if only else {}
    wanted = only or [name for name in RUNS if name != ROUGH or machine.multiplies_bfloat16]
    measured = {**before, **measure(wanted)}
    found = {name: measured[name] for name in RUNS if name in measured}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"machine": title, "runs": found}, indent=2) + "\n", encoding="utf-8"
    )
    report.update_document(ROOT / "docs" / "benchmarks.md", sections(read()), BEGIN, END)
    print(tables(found))


def measure(names: Sequence[str]) -> Found:
    """These runs, one after another."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        for number, name in enumerate(names, 1):
            run = RUNS[name]
            print(f"tried, {number} of {len(names)}: {name}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "bench.layers", *run.arguments, "--json", str(path)]
            environment = {**os.environ, **run.environment}
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
            )
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read() -> dict[str, Found]:
    """Each machine's last figures, by the machine's title."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    return {one["machine"]: one["runs"] for one in files}


def sections(machines: Mapping[str, Found]) -> str:
    """Markdown: a heading and the tables of each machine."""
    if not machines:
        return "Nothing has been measured yet: run `make bench ARGS=--tried`."
    return "\n\n".join(f"### Tried on {title}\n\n{tables(one)}" for title, one in machines.items())


def tables(found: Found) -> str:
    """Markdown: the rewritten layers, the settings, and the layers in bfloat16, where measured."""

    def rows(run: str) -> list[str]:
        return [_row(_name(one), [*_seconds(one), *_decibels(one)]) for one in found.get(run, ())]

    settings = [
        _row(name, [_assignments(chosen), *_seconds(one)])
        for name, chosen in _SETTINGS.items()
        for one in found.get(name, ())
    ]
    first_runs = [
        _row(name, _seconds(one)) for name in (TWICE, ONCE) for one in found.get(name, ())
    ]
    all_tables = [
        ("layers | U-Net, one pair | decoder | U-Net | decoder", rows(LAYERS)),
        ("around the exported layers | set | U-Net, one pair | decoder", settings),
        ("a graph's first run | U-Net, one pair | decoder", first_runs),
        ("in bfloat16 | U-Net, one pair | decoder | U-Net | decoder", rows(ROUGH)),
    ]
    return "\n\n".join(
        "\n".join([f"| {head} |", "|---" * (head.count("|") + 1) + "|", *body])
        for head, body in all_tables
        if body
    )


def _name(variant: Mapping[str, Any]) -> str:
    return f"{variant['what']}{' (left out)' * variant['isTried']}"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _assignments(settings: Mapping[str, str]) -> str:
    return " ".join(f"`{name}={value}`" for name, value in settings.items())


def _seconds(variant: Mapping[str, Any]) -> list[str]:
    return [report.seconds(Figure.of(variant["seconds"][network])) for network in NETWORKS]


def _decibels(variant: Mapping[str, Any]) -> list[str]:
    close = [variant["decibels"][network] for network in NETWORKS]
    return ["equal" if one is None else f"{one:.1f} dB" for one in close]


if __name__ == "__main__":
    main()
