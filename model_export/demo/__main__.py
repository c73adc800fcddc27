"""`python -m model_export.demo`: train the demo model, or score what was exported."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from console import run_command
from console.invocation import started_as
from model_export.demo.stage import Recipe
from model_export.demo.train import train
from model_export.spec import ModelSpec

_EPILOG = """examples:
  %(prog)s train                  train from scratch, or resume
  %(prog)s evaluate               export, score 512 prompts, draw the sheet
  %(prog)s evaluate --prompts 64  the same, faster and less precise
  %(prog)s compare                score the profile fast against exact
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for a missed target, 2 usage, 130 stopped."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "train":
            train(parsed.folder, Recipe(), _say)
            return 0
        return _compare(parsed) if parsed.command == "compare" else _evaluate(parsed)
    except KeyboardInterrupt:
        _say("stopped; the same command resumes from the last checkpoint")
        return 130
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is not installed; run: make setup-dev", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=started_as("model_export.demo"),
        description="Train the demo model on generated pictures, or score it by geometry.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train from scratch, or resume")
    training.add_argument(
        "--folder",
        type=Path,
        default=Path(".training"),
        help="folder for checkpoints (default: .training)",
    )
    scoring = commands.add_parser("evaluate", help="score the exported model, draw a contact sheet")
    scoring.add_argument(
        "--model",
        type=Path,
        help="a version folder with a saved_model.pb (default: export one)",
    )
    scoring.add_argument(
        "--prompts", type=int, default=256, help="prompts in each set (default: 256)"
    )
    scoring.add_argument("--guidance-scale", type=float, help="default: the model's")
    scoring.add_argument("--steps", type=int, help="default: the model's")
    scoring.add_argument(
        "--sheet",
        type=Path,
        default=Path("out/contact-sheet.png"),
        help="file for the contact sheet (default: out/contact-sheet.png)",
    )
    comparing = commands.add_parser("compare", help="score the profile fast against exact")
    comparing.add_argument(
        "--prompts", type=int, default=256, help="prompts in each set (default: 256)"
    )
    comparing.add_argument("--json", type=Path, metavar="PATH", help="also write the result there")
    return parser


def _compare(parsed: argparse.Namespace) -> int:
    from model_export.demo.compare import compare

    with tempfile.TemporaryDirectory(prefix="demo-compare-") as scratch:
        found = compare(Path(scratch), parsed.prompts, _say)
    for name, asked in found.asked.items():
        both = ", ".join(
            f"{profile} {found.percent[profile][name]:.1f}" for profile in found.percent
        )
        _say(f"{name:10} {both} ({asked})")
    _say(f"PSNR of fast against exact {found.psnr_decibels:.1f} dB")
    if parsed.json:
        parsed.json.write_text(json.dumps(found.to_json(), indent=2) + "\n", encoding="utf-8")
    for line in found.shortfalls():
        print(f"error: {line}", file=sys.stderr)
    return 1 if found.shortfalls() else 0


def _evaluate(parsed: argparse.Namespace) -> int:
    from model_export.demo import evaluate

    spec = ModelSpec()
    changes = {"guidance_scale": parsed.guidance_scale, "steps": parsed.steps}
    spec = replace(spec, **{k: v for k, v in changes.items() if v is not None})
    with tempfile.TemporaryDirectory(prefix="demo-evaluate-") as scratch:
        folder = parsed.model or _export(Path(scratch), spec)
        model = evaluate.SavedModel(folder)
        results: dict[str, dict[str, tuple[float, int]]] = {}
        for name in evaluate.PROMPT_SETS:
            _say(f"{name}: {parsed.prompts} prompts")
            requests = evaluate.prompt_set(name, parsed.prompts)
            results[name], failed, pictures = evaluate.score_set(model, requests, spec, _say)
            if failed:
                path = parsed.sheet.with_name(f"failed-{name.replace(' ', '-')}.png")
                evaluate.contact_sheet(failed[:42], pictures[:42], path)
        _print_table(results, spec.steps, spec.guidance_scale)
        for line in evaluate.behaviours(model, spec, _say):
            _say(line)
        sheet = [evaluate.Request(prompt) for prompt in evaluate.SHEET]
        evaluate.contact_sheet(sheet, model.draw(sheet, spec, _say), parsed.sheet)
        _say(f"contact sheet: {parsed.sheet}")
    missed = evaluate.shortfalls(results)
    for line in missed:
        print(f"error: {line}", file=sys.stderr)
    return 1 if missed else 0


def _export(folder: Path, spec: ModelSpec) -> Path:
    from model_export.export import VERSION_FOLDER, export

    _say("exporting the model")
    export(spec, folder)
    return folder / VERSION_FOLDER


def _print_table(
    results: dict[str, dict[str, tuple[float, int]]], steps: int, guidance_scale: float
) -> None:
    _say(f"percent right at {steps} steps, guidance {guidance_scale:g} (number of requests)")
    names = list(dict.fromkeys(name for one in results.values() for name in one))
    _say(" " * 24 + "".join(f"{name:>17}" for name in results))
    for attribute in names:
        cells = [
            f"{one[attribute][0]:6.1f} ({one[attribute][1]})" if attribute in one else ""
            for one in results.values()
        ]
        _say(f"  {attribute:22}" + "".join(f"{cell:>17}" for cell in cells))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_command(main)
