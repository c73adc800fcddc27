"""What all steps of a picture have in common, computed once, before the loop over them.

That is the keys and values of its text, and the sums of weights that a doubling is computed with.
A layer's `call` has no argument for them, so while the U-Net is traced they are found here.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from keras_cv.src.models.stable_diffusion.diffusion_model import BasicTransformerBlock, Upsample

from model_export.networks import Conditioning

_given: ContextVar[Mapping[int, Any]] = ContextVar("given")


def condition(unet: Any, context: Any) -> Conditioning:
    """For keras_cv's U-Net with rewritten layers, of context [N, 77, 768]."""
    # Both import this module.
    from model_export.sd14.attention import keys_and_values
    from model_export.sd14.layers import kernels_of_doubling

    return Conditioning(
        context,
        by_row=[keys_and_values(layer, context) for layer in _that_ask_the_text(unet)],
        shared=[kernels_of_doubling(layer) for layer in _that_double(unet)],
    )


@contextlib.contextmanager
def given(unet: Any, conditioning: Conditioning) -> Iterator[None]:
    """Inside, the U-Net's layers `find` what the conditioning has for them."""
    layers = [*_that_ask_the_text(unet), *_that_double(unet)]
    values = [*conditioning.by_row, *conditioning.shared]
    before = _given.set({id(a): value for a, value in zip(layers, values, strict=True)})
    try:
        yield
    finally:
        _given.reset(before)


def find(layer: Any, compute: Callable[[], Any]) -> Any:
    """What the layer was given, or else what it computes."""
    found = _given.get({})
    return found[id(layer)] if id(layer) in found else compute()


def _that_ask_the_text(unet: Any) -> list[Any]:
    return [one.attn2 for one in unet._flatten_layers() if isinstance(one, BasicTransformerBlock)]


def _that_double(unet: Any) -> list[Any]:
    return [one.conv for one in unet._flatten_layers() if isinstance(one, Upsample)]
