"""Predicts ε at one step: from the guidance pair, in full or with a profile's shortcuts, or from
the prompt alone. What is said of ε here holds for v too, where the network predicts that.

Imports TensorFlow at the top: import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from model_export.networks import CachedUnet, Conditioning, Networks
from model_export.profiles import PROFILES, Shortcuts, work
from model_export.spec import ModelSpec

Cache = tuple[tf.Tensor, ...]
"""What one step leaves for the next, besides the latent."""

GUIDANCE_PAIR = 2
_PROMPT_FIRST_SAMPLER = "ddim_tutorial"
"""The published tutorial puts the prompt first in the pair; everything else puts it second."""


class Step(NamedTuple):
    """The inputs of step i of num_steps.

    latent [1, h, w, 4], timestep_embedding [1, D], conditioning of the rows of `Texts.rows`.
    """

    i: tf.Tensor
    num_steps: tf.Tensor
    latent: tf.Tensor
    timestep_embedding: tf.Tensor
    conditioning: Conditioning
    guidance_scale: tf.Tensor


class Prediction(NamedTuple):
    """eps is ε for this step. eps_ahead is ε at this step with the next step's kind of guidance.

    A second-order sampler extrapolates along the line through two predictions, and both must have
    the same guidance: where it ends, the line would follow the jump. Elsewhere they are equal.
    """

    eps: tf.Tensor
    eps_ahead: tf.Tensor
    cache: Cache


class Denoiser(NamedTuple):
    """predict takes a step and the cache of the step before. The loop carries the cache.

    cache: the tensors in it. reads_cache: whether step i of num_steps does; at the end, none is
    left that could.
    """

    predict: Callable[[Step, Cache], Prediction]
    cache: tuple[tf.TensorSpec, ...]
    reads_cache: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Texts(Enum):
    """The texts that a picture follows."""

    PAIR = "always both"
    PAIR_IF_GUIDED = "the negative prompt only for a guidance scale above 1"
    PROMPT = "the prompt alone"

    @classmethod
    def of(cls, spec: ModelSpec, networks: Networks) -> Texts:
        if networks.guidance_embedding is not None or spec.max_guidance_scale <= 1.0:
            return cls.PROMPT
        return cls.PAIR_IF_GUIDED if spec.is_distilled else cls.PAIR

    def count(self, guidance_scale: tf.Tensor) -> tf.Tensor | int:
        """How many they are."""
        if self is Texts.PAIR_IF_GUIDED:
            return tf.where(guidance_scale > 1.0, GUIDANCE_PAIR, 1)
        return GUIDANCE_PAIR if self is Texts.PAIR else 1

    def rows(
        self,
        spec: ModelSpec,
        prompt: tf.Tensor,
        negative_prompt: tf.Tensor,
        count: Any = GUIDANCE_PAIR,
    ) -> tf.Tensor:
        """The texts stacked, the prompt last; PAIR has the sampler's order.

        PAIR_IF_GUIDED needs to be told the count.
        """
        if self is Texts.PROMPT:
            return prompt[tf.newaxis]
        both = [prompt, negative_prompt]
        if self is Texts.PAIR:
            return tf.stack(both if spec.sampler == _PROMPT_FIRST_SAMPLER else both[::-1])
        return tf.stack(both[::-1])[-count:]


def denoiser(spec: ModelSpec, networks: Networks, texts: Texts = Texts.PAIR) -> Denoiser:
    """How a spec's profile predicts ε."""
    shortcuts = PROFILES[spec.profile]
    prompt_first = spec.sampler == _PROMPT_FIRST_SAMPLER
    if texts is not Texts.PAIR:
        return _of_texts(networks)
    if shortcuts is None:
        return _whole(networks, prompt_first)
    if networks.cached_unet is None:
        raise ValueError(f"these networks have no cached U-Net, which profile {spec.profile} needs")
    return _with_shortcuts(networks.cached_unet, shortcuts, spec.max_steps, prompt_first)


def _guided(conditional: tf.Tensor, unconditional: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Classifier-free guidance, arXiv:2207.12598, in the form Stable Diffusion uses."""
    return unconditional + scale * (conditional - unconditional)


def _whole(networks: Networks, prompt_first: bool) -> Denoiser:
    def predict(step: Step, cache: Cache) -> Prediction:
        noise = networks.unet(step.latent, step.timestep_embedding, step.conditioning)
        halves = tf.split(noise, GUIDANCE_PAIR)
        conditional, unconditional = halves if prompt_first else reversed(halves)
        eps = _guided(conditional, unconditional, step.guidance_scale)
        return Prediction(eps, eps, cache)

    return Denoiser(predict, (), lambda _i, _num_steps: tf.constant(False))


def _of_texts(networks: Networks) -> Denoiser:
    """With the prompt as the last row. Where it is the only one, guidance changes nothing."""

    def predict(step: Step, cache: Cache) -> Prediction:
        noise = networks.unet(step.latent, step.timestep_embedding, step.conditioning)
        if noise.shape[0] == 1:
            return Prediction(noise, noise, cache)
        shape = step.latent.shape
        unconditional, conditional = (
            tf.ensure_shape(row, shape) for row in (noise[:1], noise[-1:])
        )
        eps = _guided(conditional, unconditional, step.guidance_scale)
        return Prediction(eps, eps, cache)

    return Denoiser(predict, (), lambda _i, _num_steps: tf.constant(False))


def _with_shortcuts(
    unet: CachedUnet, shortcuts: Shortcuts, max_steps: int, prompt_first: bool
) -> Denoiser:
    table = tf.constant(_work_table(shortcuts, max_steps))

    def predict(step: Step, cache: Cache) -> Prediction:
        (feature_before,) = cache
        row = tf.gather_nd(table, tf.stack([step.num_steps, step.i]))
        is_guided, is_whole, is_next_guided = tf.unstack(row)
        # The same graph runs the pair, or only the prompt's half of it.
        rows = tf.where(is_guided, GUIDANCE_PAIR, 1)
        chosen = slice(rows) if prompt_first else slice(-rows, None)
        inputs = step.latent, step.timestep_embedding, step.conditioning.rows(chosen)
        noise, feature = tf.cond(
            is_whole,
            lambda: unet.whole(*inputs),
            lambda: (unet.above(*inputs, feature_before), feature_before),
        )
        shape = step.latent.shape
        halves = tf.ensure_shape(noise[:1], shape), tf.ensure_shape(noise[-1:], shape)
        conditional, unconditional = halves if prompt_first else reversed(halves)
        guided = _guided(conditional, unconditional, step.guidance_scale)
        return Prediction(
            tf.where(is_guided, guided, conditional),
            tf.where(is_next_guided, guided, conditional),
            (feature,),
        )

    def reads_cache(i: tf.Tensor, num_steps: tf.Tensor) -> tf.Tensor:
        _, is_whole, _ = tf.unstack(table[num_steps, tf.minimum(i, max_steps - 1)])
        return (i < num_steps) & ~is_whole

    feature = tf.TensorSpec([None, *unet.feature_shape], unet.feature_dtype)
    return Denoiser(predict, (feature,), reads_cache)


def _work_table(shortcuts: Shortcuts, max_steps: int) -> np.ndarray:
    """bool [max_steps + 1, max_steps, 3], for step i of n: guided, whole, is the next one guided.

    For the last step of a run, which has no next one, the third column repeats the first.
    """
    table = np.zeros((max_steps + 1, max_steps, 3), bool)
    for num_steps in range(1, max_steps + 1):
        steps = np.array(work(shortcuts, num_steps))
        guided = steps[:, :1]
        table[num_steps, :num_steps] = np.hstack([steps, np.vstack([guided[1:], guided[-1:]])])
    return table
