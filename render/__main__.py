"""`python -m render --stack dev [--out FOLDER]`: what a stack would create."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import pulumi

from console import run_command
from console.invocation import started_as
from engine.errors import ConfigurationError
from render import dashboards, manifests, placeholders, table
from render.recorder import PROJECT, ROOT, Run, run_program, stack_config

_TABLE_FILE = "resources.json"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; with --out, also write it as JSON, and the manifests as YAML files."""
    parser = argparse.ArgumentParser(
        prog=started_as("render"),
        description="Show what a stack would create, without a cloud or an engine.",
        epilog="example: %(prog)s --stack dev --out rendered",
    )
    parser.add_argument(
        "--stack", required=True, help="a stack with a Pulumi.STACK.yaml, such as dev"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="also write them there, and the manifests and dashboards",
    )
    options = parser.parse_args(arguments)
    stack: str = options.stack.rpartition("/")[2]  # without its organization
    if not (ROOT / f"Pulumi.{stack}.yaml").is_file():
        return _complain(f"there is no stack {stack}: Pulumi.{stack}.yaml does not exist")
    # From parts of the cloud SDKs that this program does not use.
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        run = run_program(stack)
    except (pulumi.RunError, ConfigurationError) as error:
        return _complain(str(error))
    print(table.as_text(table.rows(run)))
    for line in _notes(stack):
        print(line)
    if options.out is not None:
        try:
            written = write(run, options.out)
        except OSError as error:
            return _complain(f"{error.filename}: {error.strerror}")
        print(f"wrote {written} files to {options.out}")
        for file in manifests.of_others(options.out):
            print(f"note: {file} is not from here; `kubectl apply` of its folder applies it, too")
    return 0


def write(run: Run, folder: Path) -> int:
    """Write the table, the manifests and the dashboards, and return the number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    content = [row.to_json() for row in table.rows(run)]
    (folder / _TABLE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    objects = [manifests.manifest(one) for one in run.resources if manifests.is_object(one)]
    return 1 + len(manifests.write(objects, folder)) + dashboards.write(run, folder)


def _notes(stack: str) -> list[str]:
    missing = placeholders.missing_settings(stack_config(stack), PROJECT)
    return [
        f"{key.removeprefix(f'{PROJECT}:')}: using the placeholder {value}"
        for key, value in missing.items()
    ]


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    run_command(main)
