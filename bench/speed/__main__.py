"""Measures how fast Stable Diffusion draws here: this export, the tutorial's, and other engines.

    python -m bench.speed             everything; writes docs/benchmarks.md and docs/benchmarks/
    python -m bench.speed --tried     and the variants that were tried; writes docs/tried/
    python -m bench.speed --quick     a few steps of small pictures, one server; only prints
    python -m bench.speed --replay docs/benchmarks/NAME.json     the tables of an earlier run
    python -m bench.speed --resume    continue an interrupted run

Every contender draws with random weights in its own process. Contenders that fit into memory
together take turns, picture by picture, so that a busy machine slows all of them alike. Use a quiet
machine. The models are made once and kept in --folder (about 10 GB for each size).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.export_cost import ROOT
from bench.speed import models, report
from bench.speed.contenders import CONTENDERS, EXPORTS, Contender, each_once, groups
from bench.speed.drawer import Drawer
from bench.speed.machine import Machine, this_machine
from bench.speed.results import Result, Results, Round, read
from bench.speed.verdicts import verdicts
from bench.two_servers import measure, two_servers
from console import run_command
from model_export.profiles import EXACT

DOCUMENT, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
_DEFAULT_FOLDER = ROOT / ".bench"
SOME_STEPS = 5
"""The time of a picture of this many, minus that of a one-step picture, gives that of a step."""
REPLICA_ROUNDS, REPLICA_REQUESTS = 6, 1
"""Requests to each server, for pictures of one step."""
UNFINISHED = "unfinished.json"
"""In the folder: what an interrupted run measured. `--replay` can read it."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    shorten: the number of steps of a whole picture is divided by it. prompts: 0 for no scores.
    pictures: how many of those that `drawn` lists each contender draws in a round.
    whole_rounds: in this many rounds, from the first, every contender draws a whole picture. In the
    others only `fast` does, whose steps differ; for the rest, whose steps are alike, the time of a
    whole picture is computed from one step's.
    """

    image_size: int
    rounds: int
    whole_rounds: int
    shorten: int
    prompts: int
    pictures: int = 3

    @property
    def is_quick(self) -> bool:
        return self.shorten > 1

    def steps(self, contender: Contender) -> int:
        return contender.steps // self.shorten

    def drawn(self, contender: Contender, number: int) -> list[int]:
        """The number of steps of each picture in round `number`, counted from 1."""
        is_whole = number <= self.whole_rounds or contender.profile != EXACT
        every = [1, self.steps(contender) if is_whole else SOME_STEPS, 1]
        return every[: self.pictures]


FULL = Plan(image_size=384, rounds=3, whole_rounds=0, shorten=1, prompts=48)
QUICK = Plan(image_size=256, rounds=1, whole_rounds=0, shorten=4, prompts=0, pictures=2)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.replay:
        print(report.tables(read(options.replay)))
        return 0
    plan = QUICK if options.quick else FULL
    plan = replace(
        plan,
        image_size=options.image_size or plan.image_size,
        rounds=options.rounds or plan.rounds,
        whole_rounds=options.whole_rounds,
        prompts=plan.prompts if options.prompts is None else options.prompts,
    )
    before = _unfinished(plan, options.folder / UNFINISHED) if options.resume else None
    results = run(plan, options.folder, options.only, before)
    print(report.tables(results))
    for verdict in verdicts(results):
        print(f"{verdict.verdict:20} {verdict.what}: {verdict.found} (target: {verdict.target})")
    if not options.quick and not options.only:
        publish(results, DOCUMENT, README)
    if options.tried:
        subprocess.run(_python("bench.speed.tried"), cwd=ROOT, check=True)
    return 0


def run(plan: Plan, folder: Path, only: Sequence[str], before: Results | None = None) -> Results:
    """Makes the missing models, then measures: contenders in turns, replicas, quality.

    before is an interrupted run, whose groups of contenders are not measured again.
    """
    machine = before.machine if before else replace(this_machine(), products=_products())
    obstacles = {
        one.key: _obstacle(one, machine, only) or (before and before.of(one.key).obstacle)
        for one in CONTENDERS
    }
    measurable = [one for one in CONTENDERS if obstacles[one.key] is None]
    folder.mkdir(parents=True, exist_ok=True)
    _make_models(plan, folder, measurable)
    rounds = {one.key: list(before.of(one.key).rounds) if before else [] for one in CONTENDERS}

    def found() -> Results:
        contenders = (
            Result(
                one.key,
                one.label,
                one.precision,
                plan.steps(one),
                () if obstacles[one.key] else tuple(rounds[one.key]),
                obstacles[one.key],
            )
            for one in CONTENDERS
        )
        return Results(plan.is_quick, plan.image_size, machine, tuple(contenders))

    drawing = groups(machine, plan.image_size, measurable)
    if plan.is_quick:
        drawing = each_once(drawing)
    drawn_by = {one.together for some in rounds.values() for one in some}
    waiting = [
        group
        for group in drawing
        if not any({one.key for one in group} <= {*together} for together in drawn_by)
    ]
    began, due = time.monotonic(), sum(map(len, waiting))
    while waiting:
        group = [one for one in waiting.pop(0) if obstacles[one.key] is None]
        for contender, drawn in _measure(plan, folder, group).items():
            if isinstance(drawn, str):
                obstacles[contender.key] = drawn
            else:
                rounds[contender.key] += drawn
        found().write(folder / UNFINISHED)
        left = sum(map(len, waiting))
        if left:
            each = (time.monotonic() - began) / (due - left)
            _say(f"{left} left to measure, about {left * each / 60:.0f} minutes")
    results = found()
    if not plan.is_quick:
        replicas = _replicas(plan, folder, machine, measurable)
        results = replace(results, replicas=replicas)
        results.write(folder / UNFINISHED)
    if plan.prompts:
        results = replace(results, quality=_quality(plan, folder))
    (folder / UNFINISHED).unlink(missing_ok=True)
    return results


def _unfinished(plan: Plan, path: Path) -> Results:
    """What an interrupted run of this plan measured. Exits if there is none to resume."""
    if not path.exists():
        sys.exit(f"error: no run to resume: {path} is missing; leave out --resume")
    try:
        before = read(path)
    except ValueError as error:
        sys.exit(f"error: {error}, without --resume")
    if (before.image_size, before.is_quick) != (plan.image_size, plan.is_quick):
        size = f"{before.image_size} px{' with --quick' * before.is_quick}"
        sys.exit(f"error: the interrupted run is of {size}; leave out --resume")
    return before


def publish(results: Results, document: Path, readme: Path) -> None:
    """Writes the results and their plot to the document's folder, in place of this machine's last.

    The document and the README quote what is in that folder.
    """
    folder = document.with_suffix("")
    folder.mkdir(exist_ok=True)
    path = folder / f"{report.name(results.machine)}.json"
    results.write(path)
    runs = published(document)
    report.update_document(document, report.sections(runs, folder.name))
    report.update_document(readme, report.summaries(runs))
    try:
        report.plot(results, path.with_suffix(".png"))
    except ModuleNotFoundError as error:
        print(f"no plot: {error.name} is not installed", file=sys.stderr)


def published(document: Path) -> dict[str, Results]:
    """What the document quotes: each machine's last run, by file name."""
    return {path.stem: read(path) for path in sorted(document.with_suffix("").glob("*.json"))}


def _obstacle(contender: Contender, machine: Machine, only: Sequence[str]) -> str | None:
    if only and contender.key not in only:
        return "not selected"
    return contender.obstacle(machine)


def _make_models(plan: Plan, folder: Path, measurable: Sequence[Contender]) -> None:
    served = {one.key for one in measurable if one.engine == "served"}
    openvino = any(one.engine == "openvino_loop" for one in measurable)
    convert = openvino and not models.has_openvino(folder, plan.image_size)
    for precision in ("float32", "bfloat16"):
        missing = models.missing(folder, plan.image_size, precision)
        with_openvino = convert and precision == "float32"
        if with_openvino or served & {one.key for one in missing}:
            _say(f"making the {plan.image_size} px models in {precision} (once; takes minutes)")
            command = [*_python("bench.speed.models"), str(folder), str(plan.image_size), precision]
            subprocess.run([*command, *["openvino"] * with_openvino], cwd=ROOT, check=True)


def _products() -> dict[str, float]:
    return json.loads(_last_line(_python("bench.speed.products")))


def _last_line(command: Sequence[str]) -> str:
    run = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return run.stdout.strip().splitlines()[-1]


def _measure(
    plan: Plan, folder: Path, group: Sequence[Contender]
) -> dict[Contender, list[Round] | str]:
    """Each contender's rounds, or why it has none. All are in memory and take turns."""
    rounds: dict[Contender, list[Round]] = {one: [] for one in group}
    failed: dict[Contender, str] = {}
    with contextlib.ExitStack() as stack:
        drawers: dict[Contender, Drawer] = {}
        for contender in group:
            _say(f"loading: {contender.label}, {contender.precision}")
            arguments = [contender.key, str(folder), str(plan.image_size)]
            try:
                drawer = Drawer([*_python("bench.speed.worker"), *arguments])
            except subprocess.CalledProcessError as error:
                failed[contender] = _failure(error)
                continue
            stack.callback(drawer.close)
            drawers[contender] = drawer
            _say(f"  first picture after {drawer.ready_seconds:.0f} s")
        together = tuple(one.key for one in group)
        for number in range(1, plan.rounds + 1):
            _say(f"round {number} of {plan.rounds}")
            drawn = _round(plan, number, drawers, failed)
            for contender, drawer in drawers.items():
                ready = drawer.load_seconds, drawer.ready_seconds
                of_picture = drawn[contender], drawer.peak_bytes
                rounds[contender].append(Round(*ready, *of_picture, together, number))
    return {**rounds, **failed}


def _round(
    plan: Plan, number: int, drawers: dict[Contender, Drawer], failed: dict[Contender, str]
) -> dict[Contender, dict[int, list[float]]]:
    """Each contender's seconds by number of steps. They take turns, one picture at a time.

    A contender that fails is moved from drawers to failed.
    """
    seconds: dict[Contender, dict[int, list[float]]] = {one: {} for one in drawers}
    for turn in range(plan.pictures):
        for contender, drawer in list(drawers.items()):
            steps = plan.drawn(contender, number)[turn]
            try:
                took = drawer.draw(steps)
            except subprocess.CalledProcessError as error:
                failed[contender] = _failure(error)
                del drawers[contender]
                continue
            _say(f"  steps {steps:2}: {took:5.1f} s  {contender.label}, {contender.precision}")
            seconds[contender].setdefault(steps, []).append(took)
    return seconds


def _failure(error: subprocess.CalledProcessError) -> str:
    why = f"failed with exit code {error.returncode}"
    _say(f"  {why}")
    return why


def _replicas(
    plan: Plan, folder: Path, machine: Machine, measurable: Sequence[Contender]
) -> dict[str, list[float]] | None:
    exports = [one for one in EXPORTS if one in measurable]
    if machine.cores < 2 or not exports:
        return None
    _say("two replicas against one")
    model = models.folder_of(exports[0], folder, plan.image_size)
    with two_servers(model) as endpoints:
        rates = measure(endpoints, REPLICA_REQUESTS, REPLICA_ROUNDS, num_steps=1)
    return {"one": [one for one, _ in rates], "two": [two for _, two in rates]}


def _quality(plan: Plan, folder: Path) -> dict[str, Any]:
    _say("the demo model's pictures by profile")
    path = folder / "quality.json"
    command = [*_python("model_export.demo"), "compare", "--prompts", str(plan.prompts)]
    # Exit code 1 means that a score fell too far: the verdict shows it.
    subprocess.run([*command, "--json", str(path)], cwd=ROOT, check=False)
    return json.loads(path.read_text(encoding="utf-8"))


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a few steps at 256 px, one round")
    parser.add_argument("--rounds", type=int, help=f"default {FULL.rounds}, quick {QUICK.rounds}")
    parser.add_argument(
        "--whole-rounds",
        type=int,
        default=0,
        metavar="N",
        help="every contender draws a whole picture in the first N rounds [0: only fast]",
    )
    parser.add_argument("--image-size", type=int, help=f"default {FULL.image_size}")
    parser.add_argument(
        "--prompts",
        type=int,
        help=f"to score the demo model with; 0 for no scores; default {FULL.prompts}, quick 0",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="KEY",
        choices=[one.key for one in CONTENDERS],
        help=f"only these of {', '.join(one.key for one in CONTENDERS)}; writes no files",
    )
    parser.add_argument(
        "--tried",
        action="store_true",
        help="also measure the variants that were tried: docs/tried, half an hour more",
    )
    parser.add_argument(
        "--folder", type=Path, default=_DEFAULT_FOLDER, help="where models are kept"
    )
    parser.add_argument(
        "--resume", action="store_true", help=f"continue the run in FOLDER/{UNFINISHED}"
    )
    parser.add_argument("--replay", type=Path, metavar="JSON", help="print an earlier run's tables")
    return parser


if __name__ == "__main__":
    run_command(main)
