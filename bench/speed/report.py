"""Results as tables, verdicts and plots, and what docs/benchmarks.md and the README quote of them.

Every machine that ran the benchmark has its own file, and its own section in the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.speed.contenders import EXPORTS, TUTORIAL
from bench.speed.machine import Machine
from bench.speed.results import Figure, Result, Results
from bench.speed.verdicts import NOT_MEASURABLE, verdicts
from model_export.profiles import EXACT

BEGIN, END = "<!-- made by make bench: begin -->", "<!-- made by make bench: end -->"
_COLUMNS = (
    *("", "precision", "step", "decoder", "steps", "picture"),
    *("pictures per hour", "peak memory", "loaded", "ready"),
)
_SERVED = {one.key for one in (TUTORIAL, *EXPORTS)}
_UNEVEN = {one.key for one in EXPORTS if one.profile != EXACT}
"""Their first step differs from the others, so the decoder's time cannot be separated from it."""
_NOT_MEASURED = "Nothing has been measured yet: run `make bench`."


def title(machine: Machine) -> str:
    """The processor, its cores, and its newest instruction set."""
    return ", ".join([machine.processor, f"{machine.cores} cores", *machine.instructions[-1:]])


def name(machine: Machine) -> str:
    """The name of the machine's files."""
    return "-".join(re.findall("[a-z0-9]+", title(machine).lower()))


def file_name(results: Results) -> str:
    """The name of a run's files: the machine's, and its section's."""
    return "-".join([name(results.machine), *results.section.split()])


def sections(runs: Mapping[str, Results], folder: str) -> str:
    """Markdown: a heading, the plot and the tables of each run. runs: by file name.

    folder: where the files are, relative to the document.
    """
    if not runs:
        return _NOT_MEASURED
    return "\n\n".join(
        f"### {': '.join(filter(None, [title(one.machine), one.section]))}\n\n"
        f"![Seconds for a picture, by each contender]({folder}/{name}.png)\n\n{tables(one)}"
        for name, one in runs.items()
    )


def tables(results: Results) -> str:
    """Markdown: the machine, the contenders, the verdicts, and the quality of fast."""
    machine = results.machine
    lines = [
        f"{machine.processor}, {machine.cores} cores ({', '.join(machine.instructions)}), "
        f"{machine.memory_bytes / 1e9:.0f} GB of memory, {machine.system}, "
        + ", ".join(f"{name} {version}" for name, version in machine.versions.items())
        + f". Pictures of {results.image_size} px, random weights. Seconds: the median of "
        f"{_rounds(results)}, in brackets the lowest and the highest.",
        *_products(machine.products),
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---" * len(_COLUMNS) + "|",
        *(_row(one) for one in results.selected),
        "",
        "| ratio | target | measured | verdict |",
        "|---|---|---|---|",
        *(f"| {v.what} | {v.target} | {v.found} | {v.verdict} |" for v in verdicts(results)),
    ]
    if results.quality is not None:
        lines += ["", *_quality(results.quality)]
    return "\n".join(lines)


def summaries(runs: Mapping[str, Results]) -> str:
    """Markdown for the README: this project and the tutorial, in each precision."""
    return "\n\n".join(map(_summary, runs.values())) or _NOT_MEASURED


def _summary(results: Results) -> str:
    rows = [one for one in results.contenders if one.key in _SERVED and not one.obstacle]
    return "\n".join(
        [
            f"Pictures of {results.image_size} px on {results.machine.cores} cores "
            f"({results.machine.processor}, {', '.join(results.machine.instructions)})"
            f"{', ' * bool(results.section)}{results.section}:",
            "",
            "| | precision | step | picture | pictures per hour |",
            "|---|---|---|---|---|",
            *(
                f"| {one.label}, {_steps(one)} | {one.precision} "
                f"| {one.figure(lambda r: r.step_seconds).median:.1f} s "
                f"| {_short(one.picture().median)} s | {3600 / one.picture().median:.0f} |"
                for one in rows
            ),
        ]
    )


def _short(seconds: float) -> str:
    return f"{seconds:.{0 if seconds >= 10 else 1}f}"


def _steps(result: Result) -> str:
    return f"{result.steps} step{'s' * (result.steps != 1)}"


def _products(products: Mapping[str, float]) -> list[str]:
    if not products:
        return []
    rates = ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in products.items())
    return [f"Matrix products run at {rates}."]


def _rounds(results: Results) -> str:
    counts = [len(one.rounds) for one in results.contenders if one.rounds]
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "1 round"
    return f"{most} rounds" if fewest == most else f"{fewest} to {most} rounds"


def _row(result: Result) -> str:
    name = f"| {result.label} | {result.precision} |"
    if result.obstacle:
        return f"{name} {NOT_MEASURABLE}: {result.obstacle} |{' |' * (len(_COLUMNS) - 3)}"
    picture = result.picture()
    cells = (
        seconds(result.figure(lambda one: one.step_seconds)),
        "" if result.key in _UNEVEN else seconds(result.figure(lambda one: one.decoder_seconds)),
        str(result.steps),
        seconds(picture),
        f"{3600 / picture.median:.0f}",
        f"{result.figure(lambda one: one.peak_bytes).highest / 1e9:.1f} GB",
        seconds(result.figure(lambda one: one.load_seconds)),
        seconds(result.figure(lambda one: one.ready_seconds)),
    )
    return f"{name} {' | '.join(cells)} |"


def seconds(figure: Figure) -> str:
    """The median, and the spread if there is one."""
    if figure.lowest == figure.highest:
        return f"{figure.median:.2f}"
    return f"{figure.median:.2f} ({figure.lowest:.2f} to {figure.highest:.2f})"


def _quality(quality: dict[str, Any]) -> list[str]:
    percent, asked = quality["percent"], quality["asked"]
    return [
        f"The demo model's pictures, {quality['prompts']} prompts, {quality['steps']} steps: "
        f"percent right, in brackets the number of requests. fast computes "
        f"{100 * quality['unet_share']:.0f} % of exact's U-Net rows in full; its pictures are "
        f"{quality['psnr_decibels']:.1f} dB from exact's (PSNR).",
        "",
        f"| | {' | '.join(asked)} |",
        f"|---|{'---|' * len(asked)}",
        *(
            f"| {profile} | "
            + " | ".join(f"{found[name]:.1f} ({asked[name]})" for name in asked)
            + " |"
            for profile, found in percent.items()
        ),
    ]


def update_document(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replaces the text between two marks in a Markdown file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def plot(results: Results, path: Path) -> None:
    """Seconds for a whole picture by each measured contender, as bars with their spread."""
    from matplotlib.figure import Figure as Canvas

    drawn = [one for one in results.contenders if one.rounds][::-1]
    pictures = [one.picture() for one in drawn]
    canvas = Canvas(figsize=(8, 0.5 * len(drawn) + 1.2), layout="constrained")
    axes = canvas.add_subplot()
    bars = axes.barh(
        [f"{one.label}\n{one.precision}, {_steps(one)}" for one in drawn],
        [figure.median for figure in pictures],
        xerr=[
            [figure.median - figure.lowest for figure in pictures],
            [figure.highest - figure.median for figure in pictures],
        ],
    )
    axes.bar_label(bars, [f"{_short(figure.median)} s" for figure in pictures], padding=6)
    axes.set_xlabel(f"seconds for a picture of {results.image_size} px, {title(results.machine)}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.tick_params(axis="y", labelsize=8)
    canvas.savefig(path, dpi=110)
