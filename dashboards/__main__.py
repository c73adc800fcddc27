"""`python -m dashboards --out FOLDER`: the files for a Grafana and a Prometheus of one's own."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from console import run_command
from console.invocation import started_as
from console.option_values import seconds
from dashboards import grafana, prometheus_rules
from dashboards.metrics import MODES

BUDGET_SECONDS = 300.0


def main(arguments: list[str] | None = None) -> int:
    """Write the files, and say how to use them."""
    parser = argparse.ArgumentParser(
        prog=started_as("dashboards"),
        description="Write dashboards for Grafana and alerting rules for Prometheus.",
        epilog="example: %(prog)s --out out --budget 120",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where to write them"
    )
    parser.add_argument(
        "--budget",
        type=seconds,
        default=BUDGET_SECONDS,
        metavar="SECONDS",
        help="within which 95 %% of the jobs are to be done, else there is an alert "
        "(default: %(default)g)",
    )
    options = parser.parse_args(arguments)
    folder: Path = options.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in _files(options.budget).items():
            (folder / path).write_text(text, encoding="utf-8")
            print(f"wrote {folder / path}")
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print("import a grafana file in Grafana; name a rules file in Prometheus's `rule_files`")
    return 0


def _files(budget_seconds: float) -> dict[str, str]:
    found: dict[str, str] = {}
    for mode in MODES:
        dashboard = json.dumps(grafana.dashboard(mode), indent=2)
        found[f"grafana-{mode}.json"] = f"{dashboard}\n"
        rules = prometheus_rules.rules(mode, budget_seconds)
        found[f"rules-{mode}.yaml"] = yaml.safe_dump(rules, sort_keys=False, width=100)
    return found


if __name__ == "__main__":
    run_command(main)
