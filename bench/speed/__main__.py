"""Measures how fast Stable Diffusion draws here: this export, the tutorial's, and other engines.

    python -m bench.speed             everything; writes docs/benchmarks.md and docs/benchmarks/
    python -m bench.speed --tried     and the variants that were tried; writes docs/tried/
    python -m bench.speed --quick     a few steps of small pictures, one server; only prints
    python -m bench.speed --replay docs/benchmarks/NAME.json     the tables of an earlier run
    python -m bench.speed --resume    continue an interrupted run
    python -m bench.speed --only exact-float32 instant-float32 --section "few steps"
                                      some contenders; writes a section of its own

Every contender draws with random weights in its own process. Contenders that fit into memory
together take turns, picture by picture, so that a busy machine slows all of them alike. Use a quiet
machine. The models are made once and kept in --folder (about 10 GB for each size).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.export_cost import ROOT
from bench.speed import models, report
from bench.speed.contenders import (
    CONTENDERS,
    EXPORTS,
    OPENVINO_INSTANT,
    Contender,
    each_once,
    groups,
)
from bench.speed.drawer import Drawer
from bench.speed.machine import Machine, this_machine
from bench.speed.options import UNFINISHED, parsed
from bench.speed.plan import FULL, QUICK, Plan
from bench.speed.results import NOT_SELECTED, Result, Results, Round, read
from bench.speed.verdicts import verdicts
from bench.two_servers import measure, two_servers
from console import run_command

DOCUMENT, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
REPLICA_ROUNDS, REPLICA_REQUESTS = 6, 1
"""Requests to each server, for pictures of one step."""
_SAYS_NOTHING = {"CI": "true", "NNCF_CI": "1"}
"""OpenVINO and NNCF report each conversion to their makers, except where tests are run."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments, __doc__)
    if options.replay:
        print(report.tables(read(options.replay)))
        return 0
    plan = QUICK if options.quick else FULL
    scored = 0 if options.only else plan.prompts
    plan = replace(
        plan,
        image_size=options.image_size or plan.image_size,
        rounds=options.rounds or plan.rounds,
        whole_rounds=options.whole_rounds,
        prompts=scored if options.prompts is None else options.prompts,
    )
    before = _unfinished(plan, options.folder / UNFINISHED) if options.resume else None
    results = run(plan, options.folder, options.only, before)
    results = replace(results, section=options.section or "")
    print(report.tables(results))
    for verdict in verdicts(results):
        print(f"{verdict.verdict:20} {verdict.what}: {verdict.found} (target: {verdict.target})")
    if options.section or not (options.quick or options.only):
        publish(results, DOCUMENT, README)
    if options.tried:
        subprocess.run(_python("bench.speed.tried"), cwd=ROOT, check=True)
    return 0


def run(plan: Plan, folder: Path, only: Sequence[str], before: Results | None = None) -> Results:
    """Makes the missing models, then measures: contenders in turns, replicas, quality.

    only: the keys of some contenders, for these alone; none for everything. before is an
    interrupted run, whose groups of contenders are not measured again.
    """
    machine = before.machine if before else replace(this_machine(), products=_products())
    obstacles = {
        one.key: _obstacle(one, machine, only) or _failed(one, before) for one in CONTENDERS
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
    if not plan.is_quick and not only:
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
    """Writes the results and their plot to the document's folder, in place of this machine's last
    of the same section.

    The document and the README quote what is in that folder.
    """
    folder = document.with_suffix("")
    folder.mkdir(exist_ok=True)
    path = folder / f"{report.file_name(results)}.json"
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
    files = {path.stem: path for path in document.with_suffix("").glob("*.json")}
    return {stem: read(files[stem]) for stem in sorted(files)}


def _obstacle(contender: Contender, machine: Machine, only: Sequence[str]) -> str | None:
    if only and contender.key not in only:
        return NOT_SELECTED
    return contender.obstacle(machine)


def _failed(contender: Contender, before: Results | None) -> str | None:
    """Why an interrupted run could not measure it, if it tried."""
    obstacle = before.of(contender.key).obstacle if before else None
    return None if obstacle == NOT_SELECTED else obstacle


def _make_models(plan: Plan, folder: Path, measurable: Sequence[Contender]) -> None:
    def missing(some: Sequence[Contender]) -> list[Contender]:
        return models.missing(folder, plan.image_size, some)

    def make(module: str, *arguments: str) -> None:
        command = [*_python(module), str(folder), str(plan.image_size), *arguments]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **_SAYS_NOTHING}, check=True)

    int8 = missing([one for one in measurable if one.has_int8_weights])
    sources = [one for one in measurable if not one.has_int8_weights]
    if int8:
        sources.append(OPENVINO_INSTANT[0])
    for precision in ("float32", "bfloat16"):
        made = [one.key for one in missing(sources) if models.made_in(one) == precision]
        if made:
            _say(f"making the {plan.image_size} px models in {precision} (once; takes minutes)")
            make("bench.speed.models", *dict.fromkeys(made))
    if int8:
        _say("compressing OpenVINO's weights to int8 (once; takes a minute)")
        make("bench.speed.int8")


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


if __name__ == "__main__":
    run_command(main)
