"""What a model family gives the exporter: three networks as functions, and their variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class CachedUnet:
    """A U-Net in two forms that share weights, cut at one of its features.

    whole: what `Networks.unet` takes → (ε, the feature [N, *feature_shape]).
    above: the same and a feature → ε, by the layers above the cut only.
    """

    whole: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    above: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
    feature_shape: tuple[int, ...]
    feature_dtype: str


@dataclass(frozen=True)
class Networks:
    """The trained parts of one model, traceable by TensorFlow.

    text_encoder: token ids int32 [N, 77] → context float32 [N, 77, C].
    unet: latent float32 [N, h, w, 4], timestep embedding float32 [N, D], context [N, 77, C]
        → the predicted noise ε, float32 [N, h, w, 4].
    decoder: latent float32 [N, h, w, 4] → image float32 [N, H, W, 3] in -1..1.
    variables: every variable the three read. They, and no Keras object, go into the SavedModel.
    latent_shape: (h, w, 4). timestep_embedding_width: D.
    cached_unet: there for a profile that takes shortcuts.
    """

    text_encoder: Callable[[tf.Tensor], tf.Tensor]
    unet: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
    decoder: Callable[[tf.Tensor], tf.Tensor]
    variables: Sequence[tf.Variable]
    latent_shape: tuple[int, int, int]
    timestep_embedding_width: int
    parameter_count: int
    cached_unet: CachedUnet | None = None
