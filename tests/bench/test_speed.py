"""`make bench`: its tables and verdicts, and that the document quotes what was measured."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from bench import layers, two_servers
from bench.speed import __main__ as speed
from bench.speed import models, report, results, tried, verdicts, worker
from bench.speed.contenders import (
    CONTENDERS,
    EXPORTS,
    OPENVINO,
    OPENVINO_INSTANT,
    OPENVINO_INT8,
    TUTORIAL,
    Contender,
    groups,
)
from bench.speed.drawer import Drawer
from bench.speed.machine import Machine, this_machine
from bench.speed.options import UNFINISHED
from bench.speed.plan import FULL, QUICK, SOME_STEPS, Plan
from bench.speed.results import Result, Results, Round
from client.load.run import Result as LoadResult
from model_export.manifest import MANIFEST_NAME
from model_export.networks import Networks
from model_export.profiles import EXACT, INSTANT
from model_export.spec import ModelSpec

MACHINE = Machine("A CPU", 2, 16 * 10**9, ("avx2", "avx512_bf16"), "Linux", {"tensorflow": "2"}, 0)
LARGE_MACHINE = dataclasses.replace(MACHINE, memory_bytes=32 * 10**9)
QUALITY: dict[str, Any] = {
    "prompts": 16,
    "steps": 20,
    "percent": {
        "exact": {"colour": 100.0, "shape": 94.0, "position": 99.0},
        "fast": {"colour": 100.0, "shape": 92.5, "position": 99.5},
    },
    "asked": {"colour": 20, "shape": 20, "position": 12},
    "psnr_decibels": 36.5,
    "unet_share": 0.5,
}


def drawn_in(
    step: float,
    decoder: float,
    steps: int,
    slowed: float = 1.0,
    together: tuple[str, ...] = (),
    number: int = 1,
) -> Round:
    seconds = {n: [slowed * (decoder + n * step)] for n in (1, SOME_STEPS, steps)}
    return Round(10.0, 20.0, seconds, 5 * 10**9, together, number)


def measured(step: float = 2.0, decoder: float = 4.0, **steps: float) -> Results:
    """Results with the same speed for every contender, except for the steps of the named ones."""
    contenders = [
        Result(
            one.key,
            one.label,
            one.precision,
            one.steps,
            tuple(
                drawn_in(
                    steps.get(one.key.replace("-", "_"), step),
                    *(decoder, one.steps, slowed),
                    number=number,
                )
                for number, slowed in enumerate((1.0, 1.5), 1)
            ),
        )
        for one in CONTENDERS
    ]
    replicas = {"one": [1.0, 0.9], "two": [1.98, 1.76]}
    return Results(False, 384, MACHINE, tuple(contenders), replicas, QUALITY)


def without(found: Results, *keys: str, why: str) -> Results:
    """The same, but these contenders could not be measured."""
    contenders = [
        dataclasses.replace(one, rounds=(), obstacle=why) if one.key in keys else one
        for one in found.contenders
    ]
    return dataclasses.replace(found, contenders=tuple(contenders))


def verdict_on(found: Results, what: str) -> verdicts.Verdict:
    return next(one for one in verdicts.verdicts(found) if one.what == what)


def test_a_round_separates_the_step_from_the_decoder() -> None:
    one = drawn_in(step=2.0, decoder=4.0, steps=20)
    assert one.step_seconds == pytest.approx(2.0)
    assert one.decoder_seconds == pytest.approx(4.0)
    assert one.seconds_for(20) == one.picture_seconds[20][0] == pytest.approx(44.0)
    assert one.seconds_for(10) == pytest.approx(24.0)


def test_the_fastest_of_equal_pictures_counts() -> None:
    one = Round(10.0, 20.0, {1: [9.0, 6.0], 5: [14.0]}, 5 * 10**9)
    assert one.step_seconds == pytest.approx(2.0)
    assert one.decoder_seconds == pytest.approx(4.0)


def test_fast_has_no_decoder_time_in_the_table() -> None:
    (row,) = (line for line in report.tables(measured()).splitlines() if "fast | float32" in line)
    assert [cell.strip() for cell in row.split("|")][4] == ""


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    found = measured()
    found.write(tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == found


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"format": 0}')
    with pytest.raises(ValueError, match="has another format; run make bench again"):
        results.read(tmp_path / "results.json")


def test_a_ratio_is_taken_round_by_round_so_that_a_slow_round_does_not_matter() -> None:
    found = measured(tutorial=6.0, exact_bfloat16=2.5)
    verdict = verdict_on(found, "step, exact bfloat16 : tutorial")
    assert (verdict.found, verdict.verdict) == ("2.40× (2.40 to 2.40)", verdicts.MET)
    slower = measured(tutorial=6.0, exact_bfloat16=3.0)
    assert verdict_on(slower, verdict.what).verdict == verdicts.NOT_MET


@pytest.mark.parametrize(("together", "ratio"), [("tutorial", "2.00×"), ("none", "3.00×")])
def test_only_rounds_of_contenders_that_took_turns_are_compared(together: str, ratio: str) -> None:
    """If there are none, rounds are compared in order."""
    found = measured()
    rounds = {
        "exact-float32": [(2.0, "openvino"), (2.0, "openvino"), (3.0, together)],
        "tutorial": [(6.0, "tutorial")],
    }
    contenders = [
        dataclasses.replace(
            one,
            rounds=tuple(
                drawn_in(step, 4.0, one.steps, together=(key,)) for step, key in rounds[one.key]
            ),
        )
        if one.key in rounds
        else one
        for one in found.contenders
    ]
    found = dataclasses.replace(found, contenders=tuple(contenders))
    assert verdict_on(found, "step, exact float32 : tutorial").found.startswith(ratio)
    assert "the median of 1 to 3 rounds" in report.tables(found)


def test_equal_times_count_as_no_slower() -> None:
    what = "step, exact float32 : tutorial"
    assert verdict_on(measured(), what).verdict == verdicts.MET
    assert verdict_on(measured(tutorial=1.9), what).verdict == verdicts.NOT_MET


def test_a_ratio_just_below_its_target_does_not_read_as_met() -> None:
    replicas = {"one": [1.0], "two": [1.9496]}
    found = dataclasses.replace(measured(), replicas=replicas)
    verdict = verdict_on(found, "pictures per hour, two replicas : one")
    assert verdict.found == "1.9496× (1.95 to 1.95)" and verdict.verdict == verdicts.NOT_MET


def test_replicas_and_quality_have_their_own_verdicts() -> None:
    found = measured()
    replicas = verdict_on(found, "pictures per hour, two replicas : one")
    assert replicas.found == "1.97× (1.96 to 1.98)" and replicas.verdict == verdicts.MET
    quality = verdict_on(found, "scores, fast : exact (demo model)")
    assert quality.found == "colour -0.0, shape -1.5, position +0.5"
    assert quality.verdict == verdicts.MET
    worse = {**QUALITY, "percent": {**QUALITY["percent"], "fast": {"colour": 97.9}}}
    worse["percent"]["exact"] = {"colour": 100.0}
    found = dataclasses.replace(found, quality=worse, replicas=None)
    assert verdict_on(found, quality.what).verdict == verdicts.NOT_MET
    assert verdict_on(found, replicas.what).verdict == verdicts.NOT_MEASURABLE


def test_a_contender_that_cannot_run_is_a_line_that_says_why() -> None:
    slow_machine = dataclasses.replace(MACHINE, instructions=("avx2",))
    obstacles = {one.key: one.obstacle(slow_machine) for one in CONTENDERS}
    why = "this CPU has neither AVX512_BF16 nor AMX"
    assert obstacles["exact-bfloat16"] == why and obstacles["tutorial"] is None
    found = measured()
    without = Result("exact-bfloat16", "this export, exact", "bfloat16", 20, (), why)
    contenders = [without if one.key == without.key else one for one in found.contenders]
    found = dataclasses.replace(found, contenders=tuple(contenders))
    lines = report.tables(found).splitlines()
    assert f"| this export, exact | bfloat16 | not measurable here: {why} | | | | | | | |" in lines
    verdict = verdict_on(found, "step, exact bfloat16 : tutorial")
    assert verdict.verdict == verdicts.NOT_MEASURABLE
    assert verdict.found == f"this export, exact: {why}"


def test_a_quick_run_does_not_judge_whole_pictures() -> None:
    found = dataclasses.replace(measured(), is_quick=True)
    verdict = verdict_on(found, "picture, fast float32 : exact float32")
    assert verdict.verdict == verdicts.NOT_MEASURABLE
    assert verdict.found == "quick pictures have too few steps"
    assert verdict_on(found, "step, exact float32 : tutorial").verdict != verdicts.NOT_MEASURABLE


def test_every_table_has_as_many_cells_in_every_row() -> None:
    tables = report.tables(measured()).split("\n\n")
    rows = [[line.count("|") for line in t.splitlines()] for t in tables if t.startswith("|")]
    assert len(rows) == 3 and all(len({*counts}) == 1 for counts in rows)


class FakeDrawer:
    """Draws a contender's pictures in no time and records the requests; fails as `failing` says.

    It reports one second per step and two for the rest.
    """

    load_seconds, ready_seconds, peak_bytes = 10.0, 20.0, 5 * 10**9
    alive = 0
    requested: list[tuple[str, int]]
    failing: dict[str, int]
    """After how many pictures each contender fails."""

    def __init__(self, command: list[str]) -> None:
        self.key = command[3]
        self._check()
        FakeDrawer.alive += 1

    def close(self) -> None:
        FakeDrawer.alive -= 1

    def draw(self, steps: int) -> float:
        self._check()
        self.requested.append((self.key, steps))
        return 2.0 + steps

    def _check(self) -> None:
        drawn = sum(key == self.key for key, _ in self.requested)
        if self.failing.get(self.key) == drawn:
            raise subprocess.CalledProcessError(137, "worker")


@pytest.fixture
def drawer(monkeypatch: pytest.MonkeyPatch) -> type[FakeDrawer]:
    """In place of processes; nothing else is measured or made."""
    FakeDrawer.requested, FakeDrawer.failing = [], {}
    monkeypatch.setattr(speed, "Drawer", FakeDrawer)
    monkeypatch.setattr(speed, "this_machine", lambda: MACHINE)
    monkeypatch.setattr(speed, "_make_models", lambda *_: None)
    monkeypatch.setattr(speed, "_products", dict)
    monkeypatch.setattr(speed, "_replicas", lambda *_: None)
    return FakeDrawer


@pytest.mark.parametrize("machine", [MACHINE, LARGE_MACHINE])
def test_contenders_that_fit_into_memory_take_turns(
    machine: Machine, tmp_path: Path, drawer: type[FakeDrawer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "this_machine", lambda: machine)
    plan = Plan(256, rounds=2, whole_rounds=1, shorten=2, prompts=0)
    found = speed.run(plan, tmp_path, ["tutorial", "fast-float32"])
    first = [("tutorial", steps) for steps in (1, 15, 1)]
    second = [("tutorial", steps) for steps in (1, 5, 1)]
    fast = [("fast-float32", steps) for steps in (1, 10, 1)]
    if machine is LARGE_MACHINE:
        rounds = zip(first, fast, strict=True), zip(second, fast, strict=True)
        assert drawer.requested == [
            picture for turns in rounds for turn in turns for picture in turn
        ]
    else:
        assert drawer.requested == [*first, *second, *fast, *fast]
    assert drawer.alive == 0
    (one, other) = found.of("tutorial").rounds
    assert one.picture_seconds == {1: [3.0, 3.0], 15: [17.0]} and one.peak_bytes == 5 * 10**9
    assert other.step_seconds == pytest.approx(1.0)
    assert found.of("tutorial").steps == 15 and found.of("fast-float32").steps == 10
    assert found.of("openvino-float32").obstacle == "not selected"
    assert plan.drawn(EXPORTS[1], 2) == [1, 10, 1], "the steps of fast differ"
    assert QUICK.drawn(EXPORTS[0], 1) == [1, SOME_STEPS]
    few = next(one for one in EXPORTS if one.key == "instant-float32")
    assert FULL.drawn(few, 3) == [1, 4, 1], "few steps are always drawn whole"


def test_a_quick_run_loads_each_contender_once(
    tmp_path: Path, drawer: type[FakeDrawer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "this_machine", lambda: LARGE_MACHINE)
    keys = ["tutorial", "exact-float32", "fast-float32", "exact-bfloat16", "fast-bfloat16"]
    found = speed.run(QUICK, tmp_path, keys)
    assert [len(found.of(key).rounds) for key in keys] == [1] * 5
    assert len(drawer.requested) == 5 * QUICK.pictures
    assert drawer.alive == 0


def test_a_contender_in_two_groups_is_measured_in_both(
    tmp_path: Path, drawer: type[FakeDrawer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "this_machine", lambda: LARGE_MACHINE)
    plan = dataclasses.replace(FULL, rounds=2, prompts=0)
    keys = ["tutorial", "exact-bfloat16", "fast-bfloat16"]
    found = speed.run(plan, tmp_path, keys)
    slow, exact, fast = (found.of(key) for key in keys)
    assert [len(one.rounds) for one in (slow, exact, fast)] == [2, 4, 2]
    assert exact.beside(slow) == list(zip(exact.rounds[:2], slow.rounds, strict=True))
    assert exact.beside(fast) == list(zip(exact.rounds[2:], fast.rounds, strict=True))
    drawer.requested.clear()
    without_tutorial = dataclasses.replace(slow, rounds=(), obstacle="failed")
    before = dataclasses.replace(found, contenders=(without_tutorial, *found.contenders[1:]))
    again = speed.run(plan, tmp_path, keys, before)
    assert not drawer.requested and again == before, "nothing is measured twice"


@pytest.mark.parametrize("pictures", [0, 4])
def test_a_run_continues_without_a_failed_contender(
    pictures: int, tmp_path: Path, drawer: type[FakeDrawer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "this_machine", lambda: LARGE_MACHINE)
    drawer.failing["keras_cv"] = pictures
    plan = dataclasses.replace(FULL, prompts=0)
    found = speed.run(plan, tmp_path, ["keras_cv", "fast-bfloat16", "tutorial"])
    assert found.of("keras_cv").obstacle == "failed with exit code 137"
    assert found.of("keras_cv").rounds == () and drawer.alive == 0
    assert [len(found.of(key).rounds) for key in ("fast-bfloat16", "tutorial")] == [3, 3]


def test_each_of_two_servers_gets_the_same_number_of_requests_alone_and_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[tuple[list[str], int]] = []

    def throughput(endpoints: list[str], requests: int, _num_steps: int | None) -> float:
        runs.append((list(endpoints), requests))
        return 1.0 * len(endpoints)

    monkeypatch.setattr(two_servers, "throughput", throughput)
    assert two_servers.measure(["a", "b"], requests=3, rounds=4) == [(1.0, 2.0)] * 4
    warm, both = [(["a"], 2), (["b"], 2)], (["a", "b"], 6)
    alone = [([name], 3) for name in "aabb"]
    assert runs == [*warm, alone[0], both, both, alone[1], alone[2], both, both, alone[3]]


def test_a_server_that_waits_for_the_others_last_picture_does_not_count_as_slow() -> None:
    def result(endpoint: str, finished: float) -> LoadResult:
        return LoadResult(0, "a", 1, 0.0, 0.0, 0.0, finished=finished, endpoint=endpoint)

    both = [result("a", 1.0), result("b", 1.5), result("a", 2.0), result("b", 4.0)]
    assert two_servers.rate(both[:1]) == pytest.approx(1.0)
    assert two_servers.rate(both) == pytest.approx(2 / 2.0 + 2 / 4.0)


@pytest.mark.parametrize(("machine", "size"), [(LARGE_MACHINE, 512), (MACHINE, 384)])
def test_where_memory_is_short_each_contender_runs_alone(machine: Machine, size: int) -> None:
    assert groups(machine, size, CONTENDERS) == [[one] for one in CONTENDERS]


def test_all_compared_contenders_take_turns() -> None:
    found = [{one.key for one in some} for some in groups(LARGE_MACHINE, 384, CONTENDERS)]
    assert set[str]().union(*found) == {one.key for one in CONTENDERS}
    for goal in verdicts.GOALS:
        assert any({goal.ours, goal.theirs} <= keys for keys in found), goal.what


def test_few_step_contenders_are_what_they_are_called() -> None:
    by_key = {one.key: models.spec(one, 384) for one in EXPORTS}
    instant, one_step = by_key["instant-float32"], by_key["one-step-float32"]
    assert (instant.sampler, instant.steps, instant.decoder) == ("lcm", 4, "tiny")
    assert (one_step.sampler, one_step.steps, one_step.decoder) == ("euler_trailing", 1, "tiny")
    assert instant.guidance_scale == one_step.guidance_scale == 1.0
    assert min(instant.max_steps, one_step.max_steps) >= SOME_STEPS
    assert by_key["exact-float32"] == models.spec(EXPORTS[0], 384) and not EXPORTS[0].sampler
    profile = ModelSpec.for_family("sd14", image_size=384, profile=INSTANT, weights=instant.weights)
    merged = dataclasses.replace(profile, profile=EXACT, loras="")
    assert instant == merged, "a merged LoRA changes no cost"


def test_openvino_draws_few_steps_from_files_of_its_own() -> None:
    parts = {one.key: models.openvino_parts(one) for one in (*OPENVINO, *OPENVINO_INSTANT)}
    assert parts["openvino-float32"] == parts["openvino-bfloat16"] == models.OPENVINO_PARTS
    few = models.OPENVINO_FEW_STEP_PARTS
    assert parts["openvino-instant-float32"] == parts["openvino-instant-bfloat16"] == few
    for one in OPENVINO_INT8:
        *compressed, decoder = models.openvino_parts(one)
        assert decoder == few[-1] and not {*compressed} & {*few}


def test_only_the_models_that_are_missing_and_selected_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    environments: list[dict[str, str]] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> None:
        made.append(command[2:])
        environments.append(env)

    monkeypatch.setattr(subprocess, "run", run)
    keys = ["instant-float32", "instant-bfloat16", "openvino-int8-float32", "keras_cv"]
    some = [one for one in CONTENDERS if one.key in keys]
    speed._make_models(QUICK, tmp_path, some)
    place = [str(tmp_path), "256"]
    assert made == [
        ["bench.speed.models", *place, "instant-float32", "openvino-instant-float32"],
        ["bench.speed.models", *place, "instant-bfloat16"],
        ["bench.speed.int8", *place],
    ], "weights are compressed from the files in float32"
    assert all((env["CI"], env["NNCF_CI"]) == ("true", "1") for env in environments), (
        "OpenVINO and NNCF report nothing"
    )
    made.clear()
    for one in [*EXPORTS, *OPENVINO_INT8]:
        touch(one, tmp_path)
    speed._make_models(QUICK, tmp_path, some)
    assert not made


def touch(contender: Contender, folder: Path) -> None:
    """As if its models had been made."""
    if contender.engine == "served":
        paths = [models.folder_of(contender, folder, 256) / MANIFEST_NAME]
    else:
        names = [f"{name}.xml" for name in models.openvino_parts(contender)]
        paths = [models.openvino_folder(folder, 256) / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("plan", [FULL, QUICK])
@pytest.mark.parametrize("number", [1, 2])
def test_every_contender_draws_what_tells_its_step_from_its_decoder(
    plan: Plan, number: int
) -> None:
    for one in CONTENDERS:
        drawn = dataclasses.replace(plan, whole_rounds=1).drawn(one, number)
        assert min(drawn) == one.fewest_steps < max(drawn), one.key


def test_a_served_model_draws_as_many_steps_as_it_is_asked_for() -> None:
    for one in EXPORTS:
        if one.steps > 1:
            assert one.fewest_steps == models.spec(one, 256).min_steps, one.key


def test_a_steps_time_is_told_from_pictures_of_two_steps_and_more() -> None:
    one = Round(1.0, 2.0, {2: [3.0, 2.5], 4: [4.5]}, 0)
    assert (one.step_seconds, one.decoder_seconds) == (1.0, 0.5)
    assert one.seconds_for(8) == 8.5


def test_a_run_from_before_a_contender_has_no_verdict_on_it() -> None:
    found = measured()
    older = dataclasses.replace(
        found, contenders=tuple(one for one in found.contenders if "instant" not in one.key)
    )
    assert len(verdicts.verdicts(found)) - len(verdicts.verdicts(older)) == 6
    assert not any("instant" in one.what for one in verdicts.verdicts(older))


def test_instant_is_judged_against_exact_and_openvino() -> None:
    found = measured(instant_float32=0.1, openvino_instant_float32=0.1)
    exact = verdict_on(found, "picture, instant float32 : exact float32")
    assert (exact.target, exact.verdict) == ("at least 7×", verdicts.MET)
    peer = verdict_on(found, "picture, instant float32 : OpenVINO like it float32")
    assert peer.found == "1.00× (1.00 to 1.00)" and peer.target == "at least 0.85×"
    assert peer.verdict == verdicts.MET
    slower = measured(instant_float32=2.0, openvino_instant_float32=0.1)
    assert verdict_on(slower, peer.what).verdict == verdicts.NOT_MET


def test_instant_is_judged_in_the_precision_in_which_openvino_is_the_faster() -> None:
    found = measured(openvino_instant_bfloat16=1.0)
    judged = verdict_on(found, "picture, instant bfloat16 : OpenVINO like it bfloat16")
    assert (judged.target, judged.verdict) == ("at least 0.85×", verdicts.NOT_MET)
    other = verdict_on(found, "picture, instant float32 : OpenVINO like it float32")
    assert (other.target, other.verdict) == ("none", verdicts.REPORTED)
    alone = without(found, "openvino-instant-bfloat16", why="this CPU cannot")
    assert verdict_on(alone, other.what).verdict == verdicts.MET


def test_openvino_with_int8_weights_is_reported_without_a_target() -> None:
    found = measured(openvino_int8_float32=0.5, openvino_int8_bfloat16=0.5)
    for kind in ("float32", "bfloat16"):
        verdict = verdict_on(found, f"picture, instant {kind} : OpenVINO with int8 weights {kind}")
        assert verdict == verdicts.Verdict(
            verdict.what, "none", "0.50× (0.50 to 0.50)", verdicts.REPORTED
        )


def test_a_run_of_some_contenders_shows_and_judges_no_others() -> None:
    keys = ("exact-float32", "instant-float32")
    found = measured()
    others = [one.key for one in CONTENDERS if one.key not in keys]
    some = dataclasses.replace(
        without(found, *others, why=results.NOT_SELECTED), replicas=None, quality=None
    )
    (verdict,) = verdicts.verdicts(some)
    assert verdict.what == "picture, instant float32 : exact float32"
    text = report.tables(some)
    assert text.count("| this export, ") == 2 and results.NOT_SELECTED not in text


def test_a_group_that_is_a_subset_of_another_is_left_out() -> None:
    some = [one for one in CONTENDERS if one.key in ("exact-float32", "fast-float32", "keras_cv")]
    found = [[one.key for one in group] for group in groups(LARGE_MACHINE, 384, some)]
    assert found == [["exact-float32", "fast-float32"], ["keras_cv"]]


def test_an_interrupted_run_keeps_what_it_measured(
    tmp_path: Path,
    drawer: type[FakeDrawer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Interrupted(FakeDrawer):
        def draw(self, steps: int) -> float:
            if self.key == "fast-float32":
                raise KeyboardInterrupt
            return super().draw(steps)

    plan = dataclasses.replace(FULL, prompts=0)
    keys = ["exact-float32", "fast-float32"]
    monkeypatch.setattr(speed, "Drawer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        speed.run(plan, tmp_path, keys)
    assert drawer.alive == 0
    left = tmp_path / UNFINISHED
    before = results.read(left)
    assert [len(before.of(key).rounds) for key in keys] == [3, 0]
    monkeypatch.setattr(speed, "Drawer", drawer)
    drawer.requested.clear()
    found = speed.run(plan, tmp_path, keys, before)
    assert {key for key, _ in drawer.requested} == {"fast-float32"}
    assert [len(found.of(key).rounds) for key in keys] == [3, 3]
    assert not left.exists()
    drawer.requested.clear()
    resumed = speed.run(plan, tmp_path, [*keys, "keras_cv"], found)
    assert {key for key, _ in drawer.requested} == {"keras_cv"}, "left out before, and selected"
    assert len(resumed.of("keras_cv").rounds) == 3
    said = capsys.readouterr().err
    assert "round 3 of 3\n  steps  1:   3.0 s  this export, exact, float32\n" in said
    assert "1 left to measure, about 0 minutes" in said


A_WORKER = """
import json, sys
print(json.dumps({"load_seconds": 1.0, "ready_seconds": 2.0}), flush=True)
for line in sys.stdin:
    if line == "9\\n":
        sys.exit(3)
    print(json.dumps({"seconds": float(line), "peak_bytes": 7}), flush=True)
"""


def test_a_drawer_is_a_process_that_draws_on_request() -> None:
    with contextlib.closing(Drawer([sys.executable, "-c", A_WORKER])) as drawer:
        assert (drawer.load_seconds, drawer.ready_seconds) == (1.0, 2.0)
        assert [drawer.draw(steps) for steps in (1, 5)] == [1.0, 5.0]
        assert drawer.peak_bytes == 7
        with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
            drawer.draw(9)
        with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
            drawer.draw(1)


def test_a_process_that_ends_before_its_first_picture_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError, match="exit status 4"):
        Drawer([sys.executable, "-c", "import sys; sys.exit(4)"])


def test_a_worker_draws_once_and_then_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    engine = mock.Mock()
    engine.load.return_value = drawn.append
    monkeypatch.setattr(worker.importlib, "import_module", lambda _name: engine)
    answers = io.StringIO()
    worker.main(["tutorial", "models", "384"], ["1\n", "5\n"], answers)
    assert drawn == [1, 1, 5]
    engine.load.assert_called_once_with(TUTORIAL, Path("models"), 384)
    started, *pictures = map(json.loads, answers.getvalue().splitlines())
    assert 0 < started["load_seconds"] <= started["ready_seconds"]
    assert len(pictures) == 2 and all(one["peak_bytes"] > 10**6 for one in pictures)


@pytest.mark.parametrize(
    ("left", "arguments", "why"),
    [
        (None, [], "no run to resume: "),
        ('{"format": 0}', [], "has another format; run make bench again, without --resume"),
        (measured(), ["--image-size", "256"], "interrupted run is of 384 px; leave out --resume"),
        (measured(), ["--quick", "--image-size", "384"], "interrupted run is of 384 px; leave out"),
    ],
)
def test_a_run_of_another_plan_is_not_resumed(
    left: Results | str | None, arguments: list[str], why: str, tmp_path: Path
) -> None:
    path = tmp_path / UNFINISHED
    if isinstance(left, Results):
        left.write(path)
    elif left is not None:
        path.write_text(left)
    with pytest.raises(SystemExit, match=why):
        speed.main(["--resume", "--folder", str(tmp_path), *arguments])


def test_publishing_keeps_the_runs_of_other_machines(tmp_path: Path) -> None:
    document, readme = tmp_path / "benchmarks.md", tmp_path / "README.md"
    for path in (document, readme):
        path.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nMore.\n")
    other_machine = dataclasses.replace(MACHINE, processor="B (TM) CPU", instructions=("avx2",))
    first = measured(step=3.0)
    found, other = measured(), dataclasses.replace(measured(), machine=other_machine)
    some = dataclasses.replace(found, section="few steps")
    for one in (first, some, found, other):
        speed.publish(one, document, readme)
    runs = {
        "a-cpu-2-cores-avx512-bf16": found,
        "a-cpu-2-cores-avx512-bf16-few-steps": some,
        "b-tm-cpu-2-cores-avx2": other,
    }
    assert list(speed.published(document)) == list(runs)
    assert speed.published(document) == runs
    text = document.read_text()
    assert text.startswith("# Title\n") and text.endswith("\nMore.\n") and "old" not in text
    assert all(report.tables(one) in text for one in runs.values())
    assert report.tables(first) not in text
    assert "### B (TM) CPU, 2 cores, avx2\n" in text
    assert "](benchmarks/b-tm-cpu-2-cores-avx2.png)" in text
    assert "### A CPU, 2 cores, avx512_bf16: few steps\n" in text
    assert "(A CPU, avx2, avx512_bf16), few steps:\n" in readme.read_text()
    row = "| this export, exact, 20 steps | float32 | 2.5 s | 55 s | 65 |"
    assert readme.read_text().count(row) == 3
    one_step = "| this export, tiny decoder, 1 step | float32 | 2.5 s | 7.5 s | 480 |"
    assert readme.read_text().count(one_step) == 3
    plots = {path.stem for path in (tmp_path / "benchmarks").glob("*.png")}
    has_matplotlib = importlib.util.find_spec("matplotlib") is not None
    assert plots == (runs.keys() if has_matplotlib else set())


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        (speed.DOCUMENT, lambda runs: report.sections(runs, "benchmarks")),
        (speed.README, report.summaries),
    ],
)
def test_a_document_quotes_what_make_bench_wrote(
    path: Path, quoted: Callable[[dict[str, Results]], str]
) -> None:
    runs = speed.published(speed.DOCUMENT)
    assert runs
    between = path.read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    assert between.strip() == quoted(runs)
    for name, one in runs.items():
        assert report.file_name(one) == name
        assert speed.DOCUMENT.with_suffix("").joinpath(f"{name}.png").exists()


def test_a_run_of_some_contenders_is_published_in_a_section_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    plans: list[Plan] = []

    def run(plan: Plan, *_: Any) -> Results:
        plans.append(plan)
        return measured()

    monkeypatch.setattr(speed, "run", run)
    monkeypatch.setattr(speed, "publish", lambda found, *_: published.append(found.section))
    only = ["--folder", str(tmp_path), "--only", "exact-float32", "instant-float32"]
    assert speed.main(only) == 0 and not published
    assert speed.main([*only, "--section", "few steps"]) == 0
    assert published == ["few steps"] and [plan.prompts for plan in plans] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--section", "../Few"], "use lower-case letters, digits and single spaces"),
        (["--section", ""], "is no section's name"),
        (["--section", "few steps", "--quick"], "a quick run is not published: leave out"),
    ],
)
def test_a_section_that_cannot_be_published_is_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        speed.main(arguments)
    assert why in capsys.readouterr().err


def test_tried_variants_are_measured_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(speed, "run", lambda *_: measured())
    monkeypatch.setattr(speed, "publish", lambda *_: None)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    assert speed.main([]) == 0 and not commands
    assert speed.main(["--tried"]) == 0
    assert commands == [[sys.executable, "-m", "bench.speed.tried"]]


def test_every_try_is_a_run_of_the_layers_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[list[str], str | None]] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> None:
        runs.append((command, env.get("TF_ENABLE_ONEDNN_OPTS")))
        Path(command[command.index("--json") + 1]).write_text(f"[{len(runs)}]")

    known = layers.parser(layers.variants())  # whose imports may run processes
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    names = list(tried.RUNS)
    assert list(tried.measure(names).items()) == [(n, [i]) for i, n in enumerate(names, 1)]
    assert [forced for _, forced in runs].count("1") == 1
    for command, _ in runs:
        assert command[:3] == [sys.executable, "-m", "bench.layers"]
        known.parse_args(command[3:])


def test_one_of_the_tries_is_measured_again_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tried, "FOLDER", tmp_path / "tried")
    monkeypatch.setattr(tried, "measure", lambda names: dict.fromkeys(names, "new"))
    monkeypatch.setattr(tried, "tables", lambda _found: "")
    monkeypatch.setattr(tried, "this_machine", lambda: MACHINE)
    monkeypatch.setattr(report, "update_document", lambda *_: None)
    title = report.title(MACHINE)
    tried.main(["--only", tried.LAYERS])
    assert tried.read() == {title: {tried.LAYERS: "new"}}
    file = tried.FOLDER / f"{report.name(MACHINE)}.json"
    file.write_text(json.dumps({"machine": title, "runs": dict.fromkeys(tried.RUNS, "old")}))
    (tried.FOLDER / "other.json").write_text(json.dumps({"machine": "other", "runs": {}}))
    tried.main(["--only", tried.LAYERS])
    expected = {**dict.fromkeys(tried.RUNS, "old"), tried.LAYERS: "new"}
    assert tried.read() == {title: expected, "other": {}}
    tried.main([])
    assert tried.read()[title] == dict.fromkeys(tried.RUNS, "new")
    old = dataclasses.replace(MACHINE, instructions=("avx2",))
    monkeypatch.setattr(tried, "this_machine", lambda: old)
    tried.main([])
    assert tried.ROUGH not in tried.read()[report.title(old)]


def test_tried_variants_are_shown_in_tables() -> None:
    one = {
        "what": "some layers",
        "isTried": True,
        "seconds": {"unet": [4.0, 5.0], "decoder": [6.0]},
        "decibels": {"unet": 118.71, "decoder": None},
    }
    text = tried.tables({name: [one] for name in tried.RUNS})
    assert "| some layers (left out) | 4.50 (4.00 to 5.00) | 6.00 | 118.7 dB | equal |" in text
    assert "| pages of 2 MB | `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` | 4.50" in text
    assert "in bfloat16" in text
    some = tried.sections({"A processor": {tried.LAYERS: [one]}})
    assert some.startswith("### Tried on A processor\n\n| layers |")
    assert "in bfloat16" not in some and "first run" not in some


def test_the_document_quotes_what_was_tried() -> None:
    text = speed.DOCUMENT.read_text()
    assert tried.read()
    between = text.partition(tried.BEGIN)[2].partition(tried.END)[0]
    assert between.strip() == tried.sections(tried.read())


def test_the_table_shows_how_fast_the_processor_multiplies() -> None:
    machine = dataclasses.replace(MACHINE, products={"float32": 216.3, "bfloat16": 145.0})
    text = report.tables(dataclasses.replace(measured(), machine=machine))
    assert "Matrix products run at 216 GFLOP/s in float32, 145 GFLOP/s in bfloat16." in text


def test_this_machine_is_described(tmp_path: Path) -> None:
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text("model name\t: A CPU\nflags\t\t: fpu avx2 avx512_bf16\n\nmodel name\t: B\n")
    machine = this_machine(cpu_info)
    assert machine.processor == "A CPU" and machine.instructions == ("avx2", "avx512_bf16")
    assert machine.multiplies_bfloat16 and machine.cores >= 1
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_served_contenders_draw_and_keep_their_weights_once(tmp_path: Path) -> None:
    """With layers a tenth as wide: the same code as at full size."""
    from bench.speed.engines import keras_cv_loop, served
    from tests.model_export.narrow_networks import narrow

    some = [TUTORIAL, *EXPORTS[:2]]
    with narrow():
        models.make(tmp_path, 256, some)
        assert models.missing(tmp_path, 256, some) == []
        keras_cv_loop.load(CONTENDERS[1], tmp_path, 256)(2)
    for contender in some:
        served.load(contender, tmp_path, 256)(2)
    folders = [models.folder_of(one, tmp_path, 256) for one in some]
    largest = "1/variables/variables.data-00000-of-00002"
    assert [(folder / largest).stat().st_nlink for folder in folders] == [3, 3, 3]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_few_step_contenders_draw_by_this_export_and_by_openvino(tmp_path: Path) -> None:
    """With layers a tenth as wide. OpenVINO's draw only where its packages are installed, and its
    converted networks compute what ours do."""
    from bench.speed import int8
    from bench.speed.engines import openvino_loop, served
    from model_export.sd14 import networks, weights
    from tests.model_export.narrow_networks import narrow

    has_openvino = all(importlib.util.find_spec(name) for name in ("openvino", "nncf"))
    exported = [one for one in EXPORTS if one.sampler and one.precision == "float32"]
    converted = [*OPENVINO_INSTANT, *OPENVINO_INT8] if has_openvino else []
    with narrow():
        models.make(tmp_path, 256, exported + converted[:1])
        kept = networks.build(256, "float32")
    for one in exported:
        served.load(one, tmp_path, 256)(2)
    if not converted:
        return
    int8.make(tmp_path, 256)
    assert models.missing(tmp_path, 256, exported + converted) == []
    for one in converted:
        openvino_loop.load(one, tmp_path, 256)(2)
    spec = models.spec(exported[0], 256)
    weights.fill(kept.all(), spec, lambda _done: None)
    ours = networks.as_networks(kept, spec)
    assert_converted(ours, models.openvino_folder(tmp_path, 256))


def assert_converted(ours: Networks, folder: Path) -> None:
    """The files in folder compute what our networks do for one text."""
    import openvino
    import tensorflow as tf

    random = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32)

    text_encoder, unet, decoder = models.OPENVINO_FEW_STEP_PARTS
    tokens = np.arange(77, dtype=np.int32)[np.newaxis]
    latent, embedding, context = normal(1, 32, 32, 4), normal(1, 320), normal(1, 77, 768)

    def our_unet(latent: tf.Tensor, embedding: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
        return ours.unet(latent, embedding, ours.condition(context))

    for name, network, inputs in (
        (text_encoder, ours.text_encoder, [tokens]),
        (unet, our_unet, [latent, embedding, context]),
        (decoder, ours.decoder, [latent]),
    ):
        expected = network(*map(tf.constant, inputs)).numpy()
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        converted = openvino.Core().compile_model(folder / f"{name}.xml", "CPU", options)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(converted(inputs)[0], expected, rtol=0, atol=1e-3 * largest)


def test_models_share_the_shards_that_they_have_in_common(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("first", "same", "smaller")}
    for folder in folders.values():
        (folder / "1" / "variables").mkdir(parents=True)
    shards = {
        name: folder / "1" / "variables" / "variables.data-00001-of-00002"
        for name, folder in folders.items()
    }
    shards["smaller"] = shards["smaller"].with_name("variables.data-00000-of-00001")
    for shard in shards.values():
        shard.write_bytes(b"weights")
    linked = models.share_variables(folders["first"], None)
    for name in ("same", "smaller"):
        assert models.share_variables(folders[name], linked) == folders["first"]
    assert shards["same"].samefile(shards["first"])
    assert not shards["smaller"].samefile(shards["first"])


@pytest.mark.parametrize(
    ("key", "guidance_scale"), [("exact-float32", 7.5), ("instant-float32", 1)]
)
def test_a_model_is_measured_at_its_own_guidance(
    key: str, guidance_scale: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A distilled one takes at most 2, where a step follows two texts and costs twice as much."""
    from bench.speed.engines import served
    from devserver.model import loading

    rows: list[dict[str, Any]] = []
    model = types.SimpleNamespace(
        signatures={"serving_default": None},
        run=lambda _signature, row, _names, _deadline: rows.append(row),
    )
    monkeypatch.setattr(loading, "load", lambda *_: model)
    served.load(next(one for one in EXPORTS if one.key == key), tmp_path, 384)(4)
    assert [row["guidance_scale"].tolist() for row in rows] == [[guidance_scale]]
