"""Infotext: how AUTOMATIC1111 and its many readers note what made a picture.

The prompt, a line `Negative prompt: …`, and a last line of `Key: value` pairs, in a PNG's text
chunk `parameters`. The format cannot hold every prompt, so that a second chunk has the exact
request as JSON (`prediction.recipe`).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from model_export.reported import reported_profile
from prediction import png
from prediction.description import Served
from prediction.recipe import KEYWORD, Recipe
from web import VERSION
from web.jobs.job import Drawn
from web.pictures import samplers, syntax

PNG_KEYWORD = "parameters"
SOFTWARE = f"diffusion-serving {VERSION}"
NOISE = "TensorFlow"
"""The value of RNG: the same seed gives other noise than A1111's generators (GPU, CPU, NV)."""
MODEL_HASH_DIGITS = 10
DEFAULTS = {
    "Clip skip": "1",
    "Schedule type": "Automatic",
    "RNG": "GPU",
    "Emphasis": "Original",
}
"""What A1111 assumes where an infotext does not say."""

_NEGATIVE = "Negative prompt:"
_MIN_PAIRS = 3
"""A last line of fewer belongs to the prompt."""
_MAX_LINE_CHARACTERS = 65_536
"""A longer last line is none of parameters."""
_PAIR = re.compile(
    # A key without end would be looked for from each of its characters.
    r"""(?P<key>\w[\w\ \-/]{1,99})          # at least two characters
        :\s*
        (?P<value>"(?:[^\\"]|\\.)+"|[^,]*)  # quoted, or up to the next comma
        (?:,|$)""",
    re.VERBOSE,
)
SIZE = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True)
class Infotext:
    """An infotext as A1111 reads it: a size becomes two values, such as Size-1 and Size-2."""

    prompt: str
    negative_prompt: str
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def chunks(drawn: Drawn, served: Served) -> dict[str, str]:
    """A PNG's text chunks: the infotext, and the exact request for whoever knows this program."""
    return {PNG_KEYWORD: write(drawn, served), KEYWORD: recipe(drawn).as_json()}


def recipe(drawn: Drawn) -> Recipe:
    return Recipe(drawn.request, drawn.answer.fingerprint, drawn.is_complete)


def write(drawn: Drawn, served: Served) -> str:
    """The infotext of a picture. What A1111 would take for prompt syntax is escaped in it."""
    request, fingerprint = drawn.request, drawn.answer.fingerprint
    sampler, schedule = samplers.of(served) or (None, None)
    width, height = png.size(drawn.answer.png)
    return compose(
        syntax.escaped(request.prompt),
        syntax.escaped(request.negative_prompt),
        {
            "Steps": request.num_steps,
            "Sampler": sampler,
            "Schedule type": schedule,
            "CFG scale": f"{request.guidance_scale:.15g}",
            "Seed": request.seed,
            "Size": f"{width}x{height}",
            "Model hash": model_hash(fingerprint),
            "Model": model_name(served),
            "RNG": NOISE,
            "Interrupted": None if drawn.is_complete else "yes",
            "Fingerprint": fingerprint,
            "Profile": reported_profile(fingerprint),
            "Version": SOFTWARE,
        },
    )


def model_hash(fingerprint: str) -> str:
    """As many hexadecimal digits as A1111 gives for a checkpoint."""
    return fingerprint[:MODEL_HASH_DIGITS]


def model_name(served: Served) -> str | None:
    return served.description.family if served.description else None


def compose(prompt: str, negative_prompt: str, parameters: Mapping[str, object]) -> str:
    """In A1111's layout. Parameters that are None are left out."""
    negative = f"\n{_NEGATIVE} {negative_prompt}" if negative_prompt else ""
    pairs = ", ".join(
        key if key == value else f"{key}: {_quoted(str(value))}"
        for key, value in parameters.items()
        if value is not None
    )
    return f"{prompt}{negative}\n{pairs}".strip()


def read(text: str) -> Infotext:
    """As A1111 reads it, losses included: blanks around lines, empty lines at the start."""
    *lines, last = text.strip().split("\n")
    pairs = list(_PAIR.finditer(last)) if len(last) <= _MAX_LINE_CHARACTERS else []
    if len(pairs) < _MIN_PAIRS:
        lines.append(last)
        pairs = []
    positive: list[str] = []
    negative: list[str] = []
    part = positive
    for line in map(str.strip, lines):
        if line.startswith(_NEGATIVE):
            part = negative
        content = line.removeprefix(_NEGATIVE).strip()
        if part or content:  # empty lines at the start are lost
            part.append(content)
    parameters: dict[str, str] = {}
    for pair in pairs:
        parameters |= _read_pair(pair["key"], pair["value"])
    return Infotext("\n".join(positive), "\n".join(negative), parameters)


def _quoted(value: str) -> str:
    is_plain = not any(mark in value for mark in ",:\n")
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def _read_pair(key: str, value: str) -> dict[str, str]:
    if value.startswith('"') and value.endswith('"'):
        with contextlib.suppress(json.JSONDecodeError):  # A1111 keeps what it cannot unquote
            value = str(json.loads(value))
    if size := SIZE.fullmatch(value):
        return {f"{key}-1": size[1], f"{key}-2": size[2]}
    return {key: value} if value else {}
