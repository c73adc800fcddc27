"""What all steps of a picture share, computed once, before the loop over the steps.

That is the keys and values of its text, and the summed weights for upsampling. A layer's `call` has
no argument for them, so layers look them up here while the U-Net is traced. What the model stores
in the form that it is used in (`stored_weights`) is looked up in the same way.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from keras_cv.src.models.stable_diffusion.diffusion_model import BasicTransformerBlock, Upsample

from model_export.networks import Conditioning

_provided: ContextVar[Mapping[int, Any]] = ContextVar("provided")


def condition(unet: Any, context: Any, stored: Mapping[int, Any]) -> Conditioning:
    """Conditioning on context [N, 77, 768], for keras_cv's U-Net with rewritten layers.

    stored: by a layer's id, what need not be computed.
    """
    # Both import this module.
    from model_export.sd14.attention import keys_and_values
    from model_export.sd14.layers import upsampling_kernels

    return Conditioning(
        context,
        by_row=[keys_and_values(layer, context) for layer in _cross_attentions(unet)],
        shared=[upsampling_kernels(layer) for layer in _upsampling_convolutions(unet, stored)],
    )


@contextlib.contextmanager
def provided(unet: Any, conditioning: Conditioning, stored: Mapping[int, Any]) -> Iterator[None]:
    """Inside, `lookup` returns to the U-Net's layers what there is for them."""
    layers = [*_cross_attentions(unet), *_upsampling_convolutions(unet, stored)]
    values = [*conditioning.by_row, *conditioning.shared]
    computed = {id(layer): value for layer, value in zip(layers, values, strict=True)}
    before = _provided.set({**stored, **computed})
    try:
        yield
    finally:
        _provided.reset(before)


def lookup(layer: Any, compute: Callable[[], Any]) -> Any:
    """What there is for the layer, or else what `compute` returns."""
    found = _provided.get({})
    return found[id(layer)] if id(layer) in found else compute()


def _cross_attentions(unet: Any) -> list[Any]:
    return [one.attn2 for one in unet._flatten_layers() if isinstance(one, BasicTransformerBlock)]


def _upsampling_convolutions(unet: Any, stored: Mapping[int, Any]) -> list[Any]:
    found = [one.conv for one in unet._flatten_layers() if isinstance(one, Upsample)]
    return [one for one in found if id(one) not in stored]
