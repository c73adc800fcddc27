"""Captions as CLIP token ids: what the demo model's text encoder reads.

The ids are CLIP's; the demo model knows only those in its training captions, the *vocabulary*.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.demo.captions import caption
from model_export.demo.scenes import Scene, sample_scene
from model_export.spec import MAX_PROMPT_TOKENS
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT

VOCABULARY_SEED = 5
VOCABULARY_CAPTIONS = 12_000
UNKNOWN_TOKENS_SHARE = 0.2

BPE_PATH = Path(__file__).parents[1] / "assets" / "bpe_simple_vocab_16e6.txt.gz"

_FILLERS = (  # noqa: SIM905 - a list of words reads better as a text
    "the a an of in on at to and with near next over under above below up down upper lower side "
    "corner edge middle center shape shapes thing things object picture image drawing photo "
    "painting illustration sketch shows showing please make draw colour color flat simple plain "
    "solid bright dark light round one two single pair three by each other there is are has me my "
    "very nice good beautiful some this that it its i you we for from like just only big new old "
    "art style digital modern clean sharp crisp high quality detailed perfect exactly here"
).split()


def training_tokens(
    scene: Scene,
    rng: np.random.Generator,
    *,
    empty_share: float,
    complete_share: float = 0,
) -> NDArray[np.int32]:
    """CLIP token ids int32[77] of a random caption, sometimes empty or with unknown words.

    At least `complete_share` of the others leave nothing out.
    """
    draw = rng.random()
    if draw < empty_share:
        return encode("")
    if draw < empty_share + 0.03:
        return _framed([_unknown_token(rng) for _ in range(int(rng.integers(1, 10)))])
    complete = rng.random() < complete_share
    body = _ids(caption(scene, rng, complete=complete)[0])
    if rng.random() < UNKNOWN_TOKENS_SHARE:
        for _ in range(int(rng.integers(1, 5))):
            known = rng.random() < 0.4
            extra = (
                _ids(_FILLERS[int(rng.integers(len(_FILLERS)))]) if known else [_unknown_token(rng)]
            )
            index = int(rng.integers(0, len(body) + 1))
            body = [*body[:index], *extra, *body[index:]]
    return _framed(body)


def encode(text: str) -> NDArray[np.int32]:
    """CLIP token ids int32[77] of a text, padded with the end token as Stable Diffusion does."""
    return _framed(_ids(text))


@cache
def vocabulary() -> NDArray[np.int32]:
    """The CLIP token ids in training captions, ascending; a pure function of the grammar."""
    rng = np.random.default_rng(VOCABULARY_SEED)
    found = {START_OF_TEXT, END_OF_TEXT}
    for _ in range(VOCABULARY_CAPTIONS):
        found.update(_ids(caption(sample_scene(rng), rng)[0]))
    for word in (*_FILLERS, *"0123456789.,!?:;-'\"()#"):
        found.update(_ids(word))
    return np.array(sorted(found), np.int32)


def _framed(body: Sequence[int]) -> NDArray[np.int32]:
    row = np.full(MAX_PROMPT_TOKENS, END_OF_TEXT, np.int32)
    row[0] = START_OF_TEXT
    kept = list(body)[: MAX_PROMPT_TOKENS - 2]
    row[1 : 1 + len(kept)] = kept
    return row


def _unknown_token(rng: np.random.Generator) -> int:
    known = vocabulary()
    while True:
        token = int(rng.integers(512, START_OF_TEXT))
        if known[np.searchsorted(known, token)] != token:
            return token


def _ids(text: str) -> list[int]:
    """Token ids without start and end. CLIP's merges never cross whitespace."""
    return [token for word in text.split() for token in _ids_of_word(word)]


@cache
def _ids_of_word(word: str) -> tuple[int, ...]:
    return tuple(_tokenizer().encode(word)[1:-1])


@cache
def _tokenizer() -> Any:
    from keras_cv.src.models.stable_diffusion.clip_tokenizer import SimpleTokenizer

    return SimpleTokenizer(str(BPE_PATH))
