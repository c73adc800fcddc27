"""The plot of a load test: latency, requests in flight, and the servers' CPU and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client.errors import PictureFileError
from client.load.run import Outcome, Result
from client.load.usage import Sample
from prediction.errors import InputRefusedError

_WIDTH_INCHES, _PANEL_INCHES, _DPI = 9.0, 2.2, 100


def require_drawing(path: Path) -> None:
    """Reject a plot that could not be written, before the run starts."""
    if path.suffix.lower() != ".png":
        raise InputRefusedError(f"--plot {path} must end with .png")
    try:
        import matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise InputRefusedError("--plot needs matplotlib: `make setup` installs it") from None


def draw(path: Path, outcome: Outcome, samples: Sequence[Sample]) -> None:
    """Write the PNG, with panels for CPU and memory if there are samples."""
    # matplotlib takes 0.5 s to import. Without pyplot it needs no display.
    from matplotlib.figure import Figure

    panels = 4 if samples else 2
    figure: Any = Figure(figsize=(_WIDTH_INCHES, _PANEL_INCHES * panels), layout="constrained")
    axes: Any = figure.subplots(panels, 1, sharex=True)
    figure.suptitle(outcome.plan.description)
    _latency(axes[0], outcome.results)
    _in_flight(axes[1], outcome)
    if samples:
        _usage(axes[2], "CPU cores", samples, [s.cpu_cores for s in samples])
        _usage(axes[3], "memory, GiB", samples, [s.memory_bytes / 2**30 for s in samples])
    axes[-1].set_xlabel("seconds since the start")
    axes[-1].set_xlim(0, outcome.seconds)
    try:
        figure.savefig(path, format="png", dpi=_DPI)
    except OSError as error:
        raise PictureFileError(f"cannot write {path}: {error.strerror}") from error


def steps_in_flight(outcome: Outcome) -> tuple[list[float], list[int]]:
    """Times at which the number of requests in flight changes, and the number from then on."""
    changes = [(result.sent, 1) for result in outcome.results]
    changes += [(r.finished, -1) for r in outcome.results if r.finished is not None]
    times, numbers = [0.0], [0]
    for seconds, change in sorted(changes):
        times.append(seconds)
        numbers.append(numbers[-1] + change)
    return [*times, outcome.seconds], [*numbers, numbers[-1]]


def _latency(axis: Any, results: Sequence[Result]) -> None:
    for succeeded, marker, colour, label in (
        (True, "o", "tab:blue", "picture"),
        (False, "x", "tab:red", "failed"),
    ):
        shown = [r for r in results if r.finished is not None and r.succeeded is succeeded]
        if shown:
            axis.plot(
                [r.finished for r in shown],
                [r.latency_seconds for r in shown],
                marker,
                color=colour,
                markersize=4,
                label=f"{label} ({len(shown)})",
            )
    axis.set_ylabel("latency, s")
    _from_zero(axis, [r.latency_seconds or 0.0 for r in results])
    if results:
        axis.legend(loc="best", fontsize="small")


def _in_flight(axis: Any, outcome: Outcome) -> None:
    times, numbers = steps_in_flight(outcome)
    axis.step(times, numbers, where="post", color="tab:purple")
    axis.set_ylabel("in flight\n(drawn + queued)")
    axis.yaxis.get_major_locator().set_params(integer=True)
    _from_zero(axis, numbers)


def _usage(axis: Any, label: str, samples: Sequence[Sample], values: Sequence[float]) -> None:
    for source in dict.fromkeys(sample.source for sample in samples):
        points = [
            (sample.seconds, value)
            for sample, value in zip(samples, values, strict=True)
            if sample.source == source
        ]
        axis.plot(*zip(*points, strict=True), label=source)
    axis.set_ylabel(label)
    _from_zero(axis, values)
    axis.legend(loc="best", fontsize="x-small")


def _from_zero(axis: Any, values: Sequence[float]) -> None:
    axis.set_ylim(0, 1.1 * max(values, default=0.0) or 1.0)
