"""keras_cv's Stable Diffusion, a tenth as wide and with two text layers: the same code, fast.

The classes take no widths, so the layers they are made of are narrowed while they are built. The
token embedding, whose width the U-Net fixes, stays as large as it is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

_UNET = {320: 32, 640: 64, 1280: 128}
_HEADS = {40: 4, 80: 8, 160: 16}
_DECODER = {512: 64, 256: 32, 128: 32}
_TEXT_LAYERS, _KEPT_TEXT_LAYERS = 12, 2


@contextlib.contextmanager
def narrow() -> Iterator[None]:
    """Inside, keras_cv's three models are built narrow."""
    import keras
    from keras_cv.src.models.stable_diffusion import decoder, diffusion_model, text_encoder

    # They know the classes by what they are before they change.
    import model_export.sd14.layers
    import model_export.sd14.stored_weights
    import model_export.sd14.variables

    assert diffusion_model.Upsample in model_export.sd14.layers.CALLS
    assert diffusion_model.Upsample is model_export.sd14.stored_weights.Upsample
    assert diffusion_model.Upsample is model_export.sd14.variables.Upsample

    def narrowed(layer: Callable[..., Any], widths: dict[int, int], index: int = 0) -> Any:
        def build(*sizes: Any, **options: Any) -> Any:
            changed = [widths.get(s, s) if i == index else s for i, s in enumerate(sizes)]
            return layer(*changed, **options)

        return build

    kept = itertools.cycle(
        [True] * _KEPT_TEXT_LAYERS + [False] * (_TEXT_LAYERS - _KEPT_TEXT_LAYERS)
    )

    def text_layer(*sizes: Any, **options: Any) -> Any:
        return real_text_layer(*sizes, **options) if next(kept) else keras.layers.Identity()

    real_text_layer = text_encoder.CLIPEncoderLayer
    with contextlib.ExitStack() as patches:
        for module, widths, names in (
            (diffusion_model, _UNET, ("ResBlock", "PaddedConv2D", "Upsample")),
            (decoder, _DECODER, ("ResnetBlock", "PaddedConv2D", "AttentionBlock")),
        ):
            for name in names:
                replacement = narrowed(getattr(module, name), widths)
                patches.enter_context(mock.patch.object(module, name, replacement))
        heads = narrowed(diffusion_model.SpatialTransformer, _HEADS, index=1)
        patches.enter_context(mock.patch.object(diffusion_model, "SpatialTransformer", heads))
        patches.enter_context(mock.patch.object(text_encoder, "CLIPEncoderLayer", text_layer))
        yield
