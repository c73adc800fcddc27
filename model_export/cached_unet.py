"""A Keras U-Net cut in two for DeepCache (arXiv:2312.00858): both parts share every weight.

Keras is imported inside the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model_export.networks import CachedUnet


def cut_in_two(
    unet: Any, cut: int, run: Callable[..., Any], finished: Callable[[Any], Any]
) -> CachedUnet:
    """The whole U-Net, which also returns the feature map at the cut, and its layers above the cut.

    The cut is at the deep input of the last skip connection (cut 0), or of the one before it
    (cut 1), and so on. run calls the given model with the inputs of `Networks.unet` and any further
    ones. finished is applied to the noise.
    """
    import keras

    # By type and order: Keras numbers layer names by process.
    connections = [layer for layer in unet.layers if isinstance(layer, keras.layers.Concatenate)]
    feature = connections[-1 - cut].input[0]
    whole_model = keras.Model(unet.inputs, [unet.output, feature])
    above_model = keras.Model([*unet.inputs, feature], unet.output)

    def whole(*inputs: Any) -> tuple[Any, Any]:
        noise, deep = run(whole_model, *inputs)
        return finished(noise), deep

    def above(*inputs: Any) -> Any:
        return finished(run(above_model, *inputs))

    return CachedUnet(whole, above, tuple(feature.shape[1:]), feature.dtype)
