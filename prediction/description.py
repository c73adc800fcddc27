"""What the served model says about itself: the answers of its signature `describe`, judged.

A model is served whatever it says: what cannot be used is a warning, and other values are assumed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prediction.errors import ClientError, InputRefusedError, one_line
from prediction.limits import Limits, PictureRequest

SIGNATURE, INPUT, OUTPUT = "describe", "query", "description"
FORMAT = 1
BEGIN, ADVANCE, FINISH = "begin", "advance", "finish"
"""The signatures that draw a picture in chunks."""


@dataclass(frozen=True)
class ModelDescription:
    """One model. `limits` holds its own limits and defaults; the queue and the timeout are the
    server's, which the model does not know."""

    family: str
    fingerprint: str
    profile: str
    precision: str
    samplers: tuple[str, ...]
    licence: str
    limits: Limits
    signatures: tuple[str, ...] = ()
    """Empty for an export that does not name them."""
    is_distilled: bool = False
    """Made for few steps: what is beyond its limits gets the most there is."""

    @property
    def draws_in_chunks(self) -> bool:
        """Whether a picture can be drawn some steps at a time."""
        return {BEGIN, ADVANCE, FINISH} <= set(self.signatures)


@dataclass(frozen=True)
class Served:
    """What a client knows of the model behind its endpoints.

    description is None if the model does not say what it is; `limits` are then assumed. warnings:
    one line each. fingerprints: those of all models that were described.
    """

    limits: Limits
    description: ModelDescription | None = None
    warnings: tuple[str, ...] = ()
    fingerprints: frozenset[str] = frozenset()

    @property
    def is_distilled(self) -> bool:
        return self.description is not None and self.description.is_distilled


Answers = Sequence[tuple[str, str | ClientError]]
"""For each endpoint its model's description, or why there is none."""


class DescriptionError(ValueError):
    """A description that cannot be used; the message says why."""


def judge(answers: Answers, assumed: Limits) -> Served:
    """What the answers say together: the first usable description counts.

    assumed: the limits where the model does not say. Raises the first failure if it is no server's
    verdict on the signature but that of any request: unreachable, loading, full, too late.
    """
    described: list[tuple[str, ModelDescription]] = []
    problems: list[str] = []
    failures: list[ClientError] = []
    for endpoint, answer in answers:
        if isinstance(answer, InputRefusedError) and answer.status:  # a server has refused it
            problems.append(f"the model at {endpoint} does not say what it is (an older export)")
        elif isinstance(answer, ClientError):
            failures.append(answer)
        else:
            try:
                described.append((endpoint, read(answer, assumed)))
            except DescriptionError as error:
                problems.append(f"the model at {endpoint} describes itself unreadably ({error})")
    if not described and not problems:
        raise failures[0]
    if not described:
        return Served(assumed, None, tuple(f"{line}: {_assuming(assumed)}" for line in problems))
    first, description = described[0]
    for endpoint, other in described[1:]:
        if other != description:
            problems.append(
                f"{endpoint} serves another model ({other.fingerprint}) than {first} "
                f"({description.fingerprint})"
            )
    values = f"the defaults and limits are those of {first}"
    return Served(
        description.limits,
        description,
        tuple(f"{line}: {values}" for line in problems),
        frozenset(model.fingerprint for _, model in described),
    )


def read(text: str, assumed: Limits) -> ModelDescription:
    """The description in an answer. assumed: the limits that it does not name."""
    try:
        document: Any = json.loads(text)
        if document["format"] != FORMAT:
            raise DescriptionError(f"its format is {one_line(repr(document['format']))}")
        _check_defaults(Limits().updated(document["limits"]))
        # The fewest steps are named only where they are more than one.
        assumed = replace(assumed, min_steps=1)
        return ModelDescription(
            family=one_line(_text(document["family"])),
            fingerprint=one_line(_text(document["fingerprint"])),
            profile=one_line(_text(document["profile"])),
            precision=one_line(_text(document["precision"])),
            samplers=tuple(one_line(_text(name)) for name in document["samplers"]),
            licence=one_line(_text(document["licence"])),
            limits=assumed.updated(document["limits"]),
            signatures=tuple(one_line(_text(name)) for name in document.get("signatures", ())),
            is_distilled=document.get("distilled") is True,
        )
    except DescriptionError:
        raise
    except KeyError as error:
        raise DescriptionError(f"it has no key {one_line(str(error))}") from None
    except json.JSONDecodeError:
        raise DescriptionError("it is not JSON") from None
    except InputRefusedError as error:
        raise DescriptionError(f"its defaults are impossible: {one_line(str(error))}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DescriptionError(one_line(str(error))) from None


def _check_defaults(limits: Limits) -> None:
    """A default outside the limits would have every request refused. Raises InputRefusedError."""
    limits.check(
        PictureRequest(
            prompt="",
            negative_prompt=limits.default_negative_prompt,
            num_steps=limits.default_steps,
            guidance_scale=limits.default_guidance_scale,
            seed=0,
        )
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _assuming(limits: Limits) -> str:
    return (
        f"assuming {limits.default_steps} steps, guidance scale {limits.default_guidance_scale:g} "
        f"and the negative prompt {one_line(repr(limits.default_negative_prompt))}"
    )
