"""What a model family gives the exporter: three networks as functions, and their variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Conditioning:
    """What the U-Net is told of a text, and whatever else all steps of a picture have in common.

    context: float32 [N, 77, C]. by_row: nests of tensors whose first axis is N too.
    shared: nests of tensors that no row has to itself. What is in them is the networks' own.
    """

    context: tf.Tensor
    by_row: Any = ()
    shared: Any = ()

    def rows(self, chosen: slice) -> Conditioning:
        """The same of some of the rows."""
        import tensorflow as tf

        context, by_row = tf.nest.map_structure(
            lambda tensor: tensor[chosen], (self.context, self.by_row)
        )
        return replace(self, context=context, by_row=by_row)


@dataclass(frozen=True)
class CachedUnet:
    """A U-Net in two forms that share weights, cut at one of its features.

    whole: what `Networks.unet` takes → (ε, the feature [N, *feature_shape]).
    above: the same and a feature → ε, by the layers above the cut only.
    """

    whole: Callable[[tf.Tensor, tf.Tensor, Conditioning], tuple[tf.Tensor, tf.Tensor]]
    above: Callable[[tf.Tensor, tf.Tensor, Conditioning, tf.Tensor], tf.Tensor]
    feature_shape: tuple[int, ...]
    feature_dtype: str


@dataclass(frozen=True)
class Networks:
    """The trained parts of one model, traceable by TensorFlow.

    text_encoder: token ids int32 [N, 77] → context float32 [N, 77, C].
    unet: latent float32 [N, h, w, 4], timestep embedding float32 [N, D], conditioning of N rows
        → the predicted noise ε, float32 [N, h, w, 4]. One latent and one embedding stand for N.
    decoder: latent float32 [N, h, w, 4] → image float32 [N, H, W, 3] in -1..1.
    variables: every variable the three read. They, and no Keras object, go into the SavedModel.
    latent_shape: (h, w, 4). timestep_embedding_width: D.
    cached_unet: there for a profile that takes shortcuts.
    condition: context [N, 77, C] → what unet is told, to be computed before a loop over steps.
    """

    text_encoder: Callable[[tf.Tensor], tf.Tensor]
    unet: Callable[[tf.Tensor, tf.Tensor, Conditioning], tf.Tensor]
    decoder: Callable[[tf.Tensor], tf.Tensor]
    variables: Sequence[tf.Variable]
    latent_shape: tuple[int, int, int]
    timestep_embedding_width: int
    parameter_count: int
    cached_unet: CachedUnet | None = None
    condition: Callable[[tf.Tensor], Conditioning] = Conditioning


def repeated(one: tf.Tensor, conditioning: Conditioning) -> tf.Tensor:
    """[1 or N, ...] → [N, ...], for networks that want as many of it as there are texts."""
    import tensorflow as tf

    context = conditioning.context
    rows: Any = context.shape[0] or tf.shape(context)[0]
    return tf.repeat(one, rows, axis=0) if one.shape[0] == 1 and context.shape[0] != 1 else one
