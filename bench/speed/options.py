"""The command line's options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from bench.export_cost import ROOT
from bench.speed.contenders import CONTENDERS
from bench.speed.plan import FULL, QUICK

_DEFAULT_FOLDER = ROOT / ".bench"
UNFINISHED = "unfinished.json"
"""In the folder: what an interrupted run measured. `--replay` can read it."""


def parsed(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Exits with a message if they make no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a few steps at 256 px, one round")
    parser.add_argument("--rounds", type=int, help=f"default {FULL.rounds}, quick {QUICK.rounds}")
    parser.add_argument(
        "--whole-rounds",
        type=int,
        default=0,
        metavar="N",
        help="every contender draws a whole picture in the first N rounds [0: only fast "
        "and those of few steps]",
    )
    parser.add_argument("--image-size", type=int, help=f"default {FULL.image_size}")
    parser.add_argument(
        "--prompts",
        type=int,
        help=f"to score the demo model with; 0 for no scores; default {FULL.prompts}, with --quick "
        "or --only 0",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="KEY",
        choices=[one.key for one in CONTENDERS],
        help=f"only these of {', '.join(one.key for one in CONTENDERS)}, without two "
        "replicas; writes files only with --section",
    )
    parser.add_argument(
        "--section",
        type=_section,
        metavar="NAME",
        help="publish the run beside this machine's last, in a section of this name",
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
    options = parser.parse_args(arguments)
    if options.section and options.quick:
        parser.error("a quick run is not published: leave out --section or --quick")
    return options


def _section(name: str) -> str:
    if not re.fullmatch("[a-z0-9]+( [a-z0-9]+)*", name):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no section's name: use lower-case letters, digits and single spaces, "
            "such as 'few steps'"
        )
    return name
