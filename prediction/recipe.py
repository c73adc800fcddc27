"""What a picture's file says of how it was made: enough to draw it again.

The web service writes one text chunk of JSON, the command line one chunk for each value. Both are
read by either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_export.reported import reported_profile
from prediction.limits import PictureRequest

KEYWORD = "diffusion-serving"
FORMAT = 1


class RecipeError(ValueError):
    """A recipe that cannot be read; the message says why."""


class NoRecipeError(RecipeError):
    """There is none: the picture comes from another program."""


@dataclass(frozen=True)
class Recipe:
    """is_complete: false for a picture that was stopped before its last step."""

    request: PictureRequest
    fingerprint: str
    is_complete: bool = True

    def as_json(self) -> str:
        """For the text chunk KEYWORD. Format 1 may gain keys."""
        request = self.request
        return json.dumps(
            {
                "format": FORMAT,
                "prompt": request.prompt,
                "negativePrompt": request.negative_prompt,
                "steps": request.num_steps,
                "guidanceScale": float(request.guidance_scale),
                "seed": request.seed,
                "fingerprint": self.fingerprint,
                "profile": reported_profile(self.fingerprint),
                "complete": self.is_complete,
            },
            ensure_ascii=True,
        )

    def as_chunks(self) -> dict[str, str]:
        """One text chunk for each value."""
        request = self.request
        return {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": str(request.seed),
            "steps": str(request.num_steps),
            "guidance_scale": repr(float(request.guidance_scale)),
            "model_fingerprint": self.fingerprint,
            "model_profile": reported_profile(self.fingerprint),
        }


def read(chunks: Mapping[str, str]) -> Recipe:
    """The recipe in a file's text chunks. Raises RecipeError.

    Chunks of single values come first: a client that saves the service's picture writes them, and
    they are what it asked for.
    """
    if KEYWORD in chunks and "prompt" not in chunks:
        return _from_json(chunks[KEYWORD])
    try:
        return Recipe(
            PictureRequest(
                prompt=chunks["prompt"],
                negative_prompt=chunks["negative_prompt"],
                num_steps=int(chunks["steps"]),
                guidance_scale=float(chunks["guidance_scale"]),
                seed=int(chunks["seed"]),
            ),
            chunks["model_fingerprint"],
        )
    except KeyError as error:
        raise NoRecipeError(f"it has no text chunk {error}") from None
    except ValueError as error:
        raise RecipeError(str(error)) from None


def _from_json(text: str) -> Recipe:
    try:
        document: Any = json.loads(text)
        if document["format"] != FORMAT:
            raise RecipeError(f"the format of {KEYWORD} is not {FORMAT}")
        return Recipe(
            PictureRequest(
                prompt=_typed(document["prompt"], str),
                negative_prompt=_typed(document["negativePrompt"], str),
                num_steps=_typed(document["steps"], int),
                guidance_scale=float(_typed(document["guidanceScale"], int | float)),
                seed=_typed(document["seed"], int),
            ),
            _typed(document["fingerprint"], str),
            document.get("complete", True) is True,
        )
    except KeyError as error:
        raise RecipeError(f"{KEYWORD} has no key {error}") from None
    except (json.JSONDecodeError, RecursionError):
        raise RecipeError(f"{KEYWORD} is not JSON") from None
    except (TypeError, AttributeError, OverflowError):
        raise RecipeError(f"a value of {KEYWORD} has the wrong type") from None


def _typed(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError
    return value
