"""What a model family gives the exporter: three networks as functions, and their variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from model_export.ingredients import Ingredient

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Conditioning:
    """The U-Net's conditioning on a text, and whatever else all steps of a picture share.

    context: float32 [N, 77, C]. by_row: nested tensors whose first axis is N too. shared: nested
    tensors that all rows share. The networks decide what is in the last two.
    """

    context: tf.Tensor
    by_row: Any = ()
    shared: Any = ()

    def rows(self, chosen: slice) -> Conditioning:
        """The same for some of the rows."""
        import tensorflow as tf

        context, by_row = tf.nest.map_structure(
            lambda tensor: tensor[chosen], (self.context, self.by_row)
        )
        return replace(self, context=context, by_row=by_row)


@dataclass(frozen=True)
class CachedUnet:
    """A U-Net in two forms that share weights, cut at one of its feature maps.

    whole: inputs of `Networks.unet` → (ε, the feature map [N, *feature_shape]).
    above: the same inputs and a feature map → ε, by the layers above the cut only.
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
        → the predicted noise ε, float32 [N, h, w, 4]. A single latent and embedding serve all N.
    decoder: latent float32 [N, h, w, 4] → image float32 [N, H, W, 3] in -1..1.
    variables: all that the three read. They go into the SavedModel, without any Keras object.
    latent_shape: (h, w, 4). timestep_embedding_width: D.
    cached_unet: set for a profile that takes shortcuts.
    guidance_embedding: float32 [E, D], of a U-Net that is told the guidance scale
        (`model_export.guidance_embedding`); such a model follows the prompt alone.
    condition: context [N, 77, C] → the conditioning for unet, computed before the loop over steps.
    decoder_draws_previews: whether it is quick enough to draw one at each step.
    preview_prompts: pictures to draw at export, to fit the preview on; none where that takes long.
    made_of: what the weights were made of besides this project's and the official files.
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
    decoder_draws_previews: bool = False
    preview_prompts: Sequence[str] = ()
    guidance_embedding: tf.Variable | None = None
    made_of: Sequence[Ingredient] = ()


def unet_inputs(
    latent: tf.Tensor, embedding: tf.Tensor, conditioning: Conditioning, *feature: tf.Tensor
) -> list[tf.Tensor]:
    """Those of a U-Net that needs a latent and an embedding for each text."""
    return [
        repeated(latent, conditioning),
        repeated(embedding, conditioning),
        conditioning.context,
        *feature,
    ]


def repeated(one: tf.Tensor, conditioning: Conditioning) -> tf.Tensor:
    """[1 or N, ...] → [N, ...]"""
    import tensorflow as tf

    context = conditioning.context
    rows: Any = context.shape[0] or tf.shape(context)[0]
    return tf.repeat(one, rows, axis=0) if one.shape[0] == 1 and context.shape[0] != 1 else one
