"""What a model's licence asks of those who draw with it, in short."""

from __future__ import annotations

from typing import NamedTuple

from model_export.sources import OWN_LICENCE_NAME
from model_export.spec import WEIGHTS_LICENCE, WEIGHTS_LICENCE_URL


class Duties(NamedTuple):
    """url: the licence itself. text: a summary for people, which does not replace it."""

    url: str = ""
    text: str = ""


_DUTIES = {
    WEIGHTS_LICENCE: Duties(
        WEIGHTS_LICENCE_URL,
        "You are responsible for what you draw and what you do with it. Attachment A of the "
        "licence forbids uses such as breaking the law, harming, deceiving or defaming people, "
        "and deciding over them; it binds you, and everybody whom you let use the model.",
    ),
    OWN_LICENCE_NAME: Duties(
        text="You are responsible for what you draw and what you do with it. Whoever runs this "
        "service keeps the licence of its model, and tells you what it forbids: most models like "
        "this one pass on the use restrictions of Stable Diffusion's licence.",
    ),
}


def duties(licence: str) -> Duties:
    """By the licence's name; empty where the user has none."""
    return _DUTIES.get(licence, Duties())
