"""A model's spec on the command line: as one JSON object, as flags, or both."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from typing import Any

from model_export import few_steps, precision
from model_export.precision import AUTO
from model_export.prediction_types import PREDICTION_TYPES
from model_export.profiles import EXACT, PROFILES
from model_export.sources import OWN
from model_export.spec import (
    FAMILIES,
    PRECISIONS,
    SAMPLERS,
    WEIGHTS_LICENCE,
    ModelSpec,
    SpecError,
)


def flag(key: str) -> str:
    """The flag for a spec's key."""
    return f"--{key.replace('_', '-')}"


def spec_from(options: argparse.Namespace) -> ModelSpec:
    """The spec that the options describe. Raises SpecError."""
    values: dict[str, Any] = {} if options.spec is None else _parsed(options.spec)
    names = [field.name for field in fields(ModelSpec)]
    values |= {
        name: getattr(options, name) for name in names if getattr(options, name, None) is not None
    }
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise SpecError("spec", f"has no key {unknown[0][:40]!r}; it has {', '.join(names)}")
    is_auto = values.get("precision") == AUTO
    if is_auto:
        values["precision"] = "float32"
    if options.spec is None:
        spec = ModelSpec.for_family(values.pop("family", ModelSpec.family), **values)
    else:
        spec = ModelSpec.from_json(values)
    if is_auto:
        fastest = precision.of_this_machine(spec.family)
        spec = precision.chosen_for(spec, fastest)
        if spec.precision != fastest:
            print(f"note: {precision.WHY_FLOAT32}", file=sys.stderr)
    _warn_of_truncation(spec.negative_prompt)
    return spec


def _warn_of_truncation(negative_prompt: str) -> None:
    if not negative_prompt:
        return
    from model_export.token_count import truncation  # reads the vocabulary: 0.1 s

    reason = truncation(negative_prompt)
    if reason is not None:
        print(f"warning: --negative-prompt: {reason}; shorten it", file=sys.stderr)


def _parsed(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except RecursionError:
        raise SpecError("spec", "is not a JSON object: it is nested too deeply") from None
    except ValueError as error:
        raise SpecError("spec", f"is not a JSON object: {error}") from error
    if not isinstance(values, dict):
        raise SpecError("spec", f"is not a JSON object but {text.strip()[:40]!r}")
    return values


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    defaults = ModelSpec()
    few = ", ".join(few_steps.BY_SAMPLER)
    group = parser.add_argument_group("model")
    group.add_argument(
        "--spec", metavar="JSON", help="all settings as one object; flags override it"
    )
    group.add_argument("--family", metavar="NAME", help=f"one of {', '.join(FAMILIES)}")
    group.add_argument(
        "--sampler",
        metavar="NAME",
        help=f"one of {', '.join(SAMPLERS)} [{defaults.sampler}]",
    )
    group.add_argument(
        "--steps",
        type=int,
        help=f"default steps of a picture [{defaults.steps}; a few for {few}]",
    )
    group.add_argument(
        "--max-steps",
        type=int,
        help=f"most steps allowed [{defaults.max_steps}; a few for {few}]",
    )
    group.add_argument("--guidance-scale", type=float, help="default guidance [the family's]")
    group.add_argument(
        "--max-guidance-scale",
        type=float,
        metavar="MAX",
        help="most guidance allowed; below 30, requests for more steps or guidance get the most "
        f"there is [30; 1 or 2 for {few}]",
    )
    group.add_argument(
        "--negative-prompt", metavar="TEXT", help="default negative prompt [the family's]"
    )
    group.add_argument("--image-size", type=int, help="in pixels [the family's]")
    group.add_argument(
        "--precision",
        metavar="NAME",
        help=f"{', '.join(PRECISIONS)}, or {AUTO} for the faster one on this machine [float32]",
    )
    group.add_argument(
        "--profile",
        metavar="NAME",
        help=f"one of {', '.join(PROFILES)}; fast skips work that hardly shows, "
        f"instant draws in 4 steps [{EXACT}]",
    )
    group.add_argument(
        "--decoder",
        metavar="WHICH",
        help="full, or for sd14 tiny: TAESD's, much less work; tiny:PATH names its weights "
        "[full; tiny with the profile instant]",
    )
    group.add_argument(
        "--weights",
        metavar="WHICH",
        help="for sd14: official (downloaded), the absolute path of a .safetensors file, of a "
        "diffusers folder or of a folder with the official files, random, or random:SEED",
    )
    group.add_argument(
        "--loras",
        metavar="PATHS",
        help='LoRAs to merge into the weights, with their strengths: "/a:0.8, /b:1.0"',
    )
    group.add_argument(
        "--vae", metavar="PATH", help="another VAE's file or folder [the model's own]"
    )
    group.add_argument(
        "--prediction-type",
        metavar="WHICH",
        help=f"what the U-Net predicts, {' or '.join(PREDICTION_TYPES)} [what the files say]",
    )
    group.add_argument(
        "--accept-licence",
        metavar="NAME",
        help=f'"{WEIGHTS_LICENCE}" accepts the licence of the official weights; "{OWN}" says that '
        "you keep that of your own files",
    )
    group.add_argument(
        "--trace",
        action="store_true",
        default=None,
        help="make the server print every step's statistics",
    )
