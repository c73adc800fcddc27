"""What each rewritten keras_cv layer gains, and what was tried and left out.

    python -m bench.layers
    python -m bench.layers --precision bfloat16 --rounds 0 --pictures 4 --only keras_cv exported
    TF_ENABLE_ONEDNN_OPTS=1 python -m bench.layers --only exported

One process holds the U-Net and the decoder with random weights. Each variant has its own graph over
the same weights, and in each round they take turns. After the seconds come decibels: how close the
variant's outputs are to those of keras_cv's own layers in float32; higher is closer. With
--pictures the last column compares whole pictures (PSNR).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bench.speed.report import seconds
from bench.speed.results import Figure
from model_export.demo.compare import psnr

NETWORKS = ("unet", "decoder")
PICTURE = "picture"
STEPS = 4
"""Steps of each compared picture."""
A_TOKEN = 320
"""An arbitrary token: random weights know no words."""
KERAS_CV, EXPORTED = "keras_cv", "exported"
WINOGRAD_CHANNELS, WINOGRAD_WIDTH = 512, 32
"""It was faster, timed in a single convolution, from this many channels and this width on."""

MORE_PRODUCT_POSITIONS = 576


@dataclass(frozen=True)
class Variant:
    """calls: the `call` of each layer type. max_score_bytes: of attention scores held at once.

    is_tried: tried and left out. is_precomputed: what a picture's steps share is computed before
    them. latents: how many, for the two texts.
    """

    what: str
    calls: Mapping[type, Callable[..., Any]]
    max_score_bytes: int
    is_tried: bool = False
    is_precomputed: bool = False
    latents: int = 2


def variants() -> dict[str, Variant]:
    """All variants by name; the first is keras_cv's own."""
    import keras
    from keras_cv.src.models.stable_diffusion.attention_block import AttentionBlock
    from keras_cv.src.models.stable_diffusion.decoder import Decoder
    from keras_cv.src.models.stable_diffusion.diffusion_model import (
        GEGLU,
        CrossAttention,
        ResBlock,
        Upsample,
    )
    from keras_cv.src.models.stable_diffusion.padded_conv2d import PaddedConv2D
    from keras_cv.src.models.stable_diffusion.resnet_block import ResnetBlock

    from model_export.sd14.attention import MAX_SCORE_BYTES
    from model_export.sd14.layers import CALLS

    groups = keras.layers.GroupNormalization

    def some(what: str, *types: type) -> Variant:
        return Variant(what, {one: CALLS[one] for one in types}, MAX_SCORE_BYTES)

    def tried(what: str, calls: Mapping[type, Callable[..., Any]], bound: int) -> Variant:
        return Variant(what, {**CALLS, **calls}, bound, is_tried=True)

    return {
        KERAS_CV: some("keras_cv's layers"),
        "groups": some("only group normalization rewritten", groups),
        "convolution": some(
            "only convolutions: padding inside, one matrix product for few positions", PaddedConv2D
        ),
        "swish": some(
            "only residual blocks: group normalization and swish fused",
            ResBlock,
            ResnetBlock,
        ),
        "upsampling": some(
            "only upsampling fused with the convolution after it", Decoder, Upsample
        ),
        "attention": some("only attention rewritten", AttentionBlock, CrossAttention),
        EXPORTED: some("all of these: the exported layers", *CALLS),
        "precomputed": replace(
            some("plus what all steps share, computed once before them", *CALLS),
            is_precomputed=True,
        ),
        "one_latent": replace(
            some("plus one latent for both texts: the exported step", *CALLS),
            is_precomputed=True,
            latents=1,
        ),
        "one_pass": tried(
            "plus variance as mean of squares minus square of mean",
            {groups: normalize_in_one_pass},
            MAX_SCORE_BYTES,
        ),
        "two_products": tried(
            "plus GEGLU as two matrix products instead of one that is split",
            {GEGLU: gate_in_two_products},
            MAX_SCORE_BYTES,
        ),
        "short_gate": tried(
            "plus GEGLU's gate in fewer operations, in float32",
            {GEGLU: gate_in_few_operations},
            MAX_SCORE_BYTES,
        ),
        "bias": tried(
            "plus dense layers with the bias fused into the matrix product",
            {keras.layers.Dense: multiply_with_bias},
            MAX_SCORE_BYTES,
        ),
        "one_normalization": tried(
            "plus layer normalization in a form that TensorFlow can fuse",
            {keras.layers.LayerNormalization: normalize_as_a_batch},
            MAX_SCORE_BYTES,
        ),
        "more_products": tried(
            f"plus convolutions of up to {MORE_PRODUCT_POSITIONS} positions as one matrix product",
            {PaddedConv2D: convolve_more_as_products},
            MAX_SCORE_BYTES,
        ),
        "winograd": tried(
            f"plus Winograd's F(4, 3) for convolutions of {WINOGRAD_CHANNELS} channels or more",
            {PaddedConv2D: convolve_by_winograd},
            MAX_SCORE_BYTES,
        ),
        "query_slices": tried(
            "plus attention sliced over the queries of all heads, not head by head",
            {
                AttentionBlock: sliced_over_queries(CALLS[AttentionBlock]),
                CrossAttention: sliced_over_queries(CALLS[CrossAttention]),
            },
            MAX_SCORE_BYTES,
        ),
        "large_slices": tried("plus attention in slices of 192 MiB", {}, 192 * 2**20),
    }


@dataclass(frozen=True)
class Found:
    """One variant's seconds for each network, and how close its outputs and pictures are."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {one: [] for one in NETWORKS})
    decibels: dict[str, float] = field(default_factory=dict[str, float])


def normalize_in_one_pass(layer: Any, inputs: Any) -> Any:
    """GroupNormalization.call with both moments in one pass; loses digits to cancellation."""
    import tensorflow as tf

    channels = inputs.shape[-1]
    axes = list(range(1, len(inputs.shape) - 1))
    wide = tf.cast(inputs, tf.float32)
    members = channels // layer.groups

    def group_mean(tensor: Any) -> Any:
        by_channel = tf.reshape(tf.reduce_mean(tensor, axes), [-1, layer.groups, members])
        return tf.reduce_mean(by_channel, axis=2, keepdims=True)

    def per_channel(grouped: Any) -> Any:
        return tf.reshape(grouped, [-1, *[1] * len(axes), channels])

    gamma, beta = (
        tf.reshape(tf.cast(weight, tf.float32), [layer.groups, members])
        for weight in (layer.gamma, layer.beta)
    )
    mean = group_mean(wide)
    variance = group_mean(tf.square(wide)) - tf.square(mean)
    scale = tf.math.rsqrt(variance + layer.epsilon) * gamma
    return tf.cast(wide * per_channel(scale) + per_channel(beta - mean * scale), inputs.dtype)


def gate_in_two_products(layer: Any, inputs: Any) -> Any:
    """GEGLU.call without splitting one wide product in two."""
    import tensorflow as tf

    dense, width = layer.dense, inputs.shape[-1]
    flat = tf.reshape(inputs, [-1, width])
    kernels = tf.split(tf.convert_to_tensor(dense.kernel), 2, axis=1)
    offsets = tf.split(tf.convert_to_tensor(dense.bias), 2)
    value, gate = (
        tf.nn.bias_add(tf.matmul(flat, kernel), offset)
        for kernel, offset in zip(kernels, offsets, strict=True)
    )
    outputs = value * tf.nn.gelu(gate, approximate=True)
    return tf.reshape(outputs, [-1, inputs.shape[1], layer.output_dim])


def gate_in_few_operations(layer: Any, inputs: Any) -> Any:
    """GEGLU.call with sigmoid(2 z) for (1 + tanh(z)) / 2.

    z = sqrt(2 / pi) (x + 0.044715 x³) is Hendrycks and Gimpel's approximation of GELU
    (arXiv:1606.08415).
    """
    import tensorflow as tf

    value, gate = tf.split(layer.dense(inputs), 2, axis=-1)
    wide = tf.cast(gate, tf.float32)
    steepness = 2 * math.sqrt(2 / math.pi) * (1.0 + 0.044715 * tf.square(wide))
    outputs = tf.cast(value, tf.float32) * (wide * tf.sigmoid(wide * steepness))
    return tf.cast(outputs, inputs.dtype)


def multiply_with_bias(layer: Any, inputs: Any, training: Any = None) -> Any:
    """Dense.call with inputs [..., C] as the rows of a matrix.

    keras puts a reshape between the product and the bias, so TensorFlow cannot fuse the two.
    """
    import tensorflow as tf

    outputs = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), layer.kernel)
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, layer.bias)
    return layer.activation(tf.reshape(outputs, [-1, *inputs.shape[1:-1], layer.units]))


def normalize_as_a_batch(layer: Any, inputs: Any) -> Any:
    """LayerNormalization.call in batch normalization's form, which oneDNN can fuse."""
    import tensorflow as tf

    wide = tf.cast(inputs, tf.float32)
    mean, variance = tf.nn.moments(wide, [-1], keepdims=True)
    outputs = tf.nn.batch_normalization(
        wide, mean, variance, layer.beta, layer.gamma, layer.epsilon
    )
    return tf.cast(outputs, layer.compute_dtype)


def sliced_over_queries(call: Callable[..., Any]) -> Callable[..., Any]:
    """An attention layer's call, with each slice holding some queries of all heads."""
    import tensorflow as tf

    from model_export.sd14 import attention

    def sliced_attention(queries: Any, keys: Any, values: Any, max_score_bytes: int) -> Any:
        rows, heads, length, width = queries.shape
        all_bytes = rows * heads * length * keys.shape[2] * queries.dtype.size
        slices = attention.divisor_of(length, at_least=-(-all_bytes // max_score_bytes))
        split = tf.reshape(queries, [rows, heads, slices, length // slices, width])
        outputs = tf.map_fn(
            lambda some_queries: attention.softmax_attention(some_queries, keys, values),
            tf.transpose(split, [2, 0, 1, 3, 4]),
            parallel_iterations=2,
        )
        return tf.reshape(tf.transpose(outputs, [1, 2, 0, 3, 4]), [rows, heads, length, width])

    def changed(*inputs: Any, **options: Any) -> Any:
        with mock.patch.object(attention, "sliced_attention", sliced_attention):
            return call(*inputs, **options)

    return changed


def convolve_more_as_products(layer: Any, inputs: Any) -> Any:
    """PaddedConv2D.call as exported, with a higher bound."""
    from model_export.sd14 import layers

    with mock.patch.object(layers, "MAX_PRODUCT_POSITIONS", MORE_PRODUCT_POSITIONS):
        return layers.convolve(layer, inputs)


def convolve_by_winograd(layer: Any, inputs: Any) -> Any:
    """PaddedConv2D.call with half the multiplications along a row, for 3 by 3 kernels.

    Lavin and Gray's F(4, 3) (arXiv:1509.09308), at the points 0, ±1, ±2 and infinity, in one
    dimension: six 3 by 1 convolutions over a quarter of the positions.
    """
    import tensorflow as tf

    from model_export.sd14.layers import convolve

    kernel, width = tf.convert_to_tensor(layer.conv2d.kernel), inputs.shape[2]
    fits = kernel.shape[0] == 3 and tuple(layer.conv2d.strides) == (1, 1) and not width % 4
    if not fits or min(kernel.shape[2:]) < WINOGRAD_CHANNELS or width < WINOGRAD_WIDTH:
        return convolve(layer, inputs)
    padded = tf.pad(inputs, [[0, 0], [0, 0], [1, 1], [0, 0]])
    d = [padded[:, :, start : start + width - 3 : 4] for start in range(6)]
    even, odd = d[4] - 4.0 * d[2], d[3] - 4.0 * d[1]
    wide_even, wide_odd = d[4] - d[2], 2.0 * (d[3] - d[1])
    transformed = [
        4.0 * d[0] - 5.0 * d[2] + d[4],
        *(even + odd, even - odd, wide_even + wide_odd, wide_even - wide_odd),
        4.0 * d[1] - 5.0 * d[3] + d[5],
    ]
    left, middle, right = (kernel[:, column : column + 1] for column in range(3))
    sides, centre = (left + right) * (-1 / 6), middle * (1 / 6)
    wide_sides, wide_centre = left * (1 / 24) + right * (1 / 6), middle * (1 / 12)
    kernels = [
        left * 0.25,
        *(sides - centre, sides + centre, wide_sides + wide_centre, wide_sides - wide_centre),
        right,
    ]
    m = [
        tf.nn.conv2d(one, column, 1, [[0, 0], [1, 1], [0, 0], [0, 0]])
        for one, column in zip(transformed, kernels, strict=True)
    ]
    near, far = m[1] + m[2], m[3] + m[4]
    near_slope, far_slope = m[1] - m[2], m[3] - m[4]
    outputs = [
        m[0] + near + far,
        near_slope + 2.0 * far_slope,
        near + 4.0 * far,
        near_slope + 8.0 * far_slope + m[5],
    ]
    shape = [-1, inputs.shape[1], width, kernel.shape[3]]
    return tf.nn.bias_add(tf.reshape(tf.stack(outputs, 3), shape), layer.conv2d.bias)


class Bench:
    """keras_cv's networks of one size and precision, and inputs for them."""

    def __init__(self, image_size: int, precision: str) -> None:
        import tensorflow as tf

        from bench.export_cost import RANDOM_WEIGHTS
        from model_export.sd14 import networks, weights
        from model_export.spec import ModelSpec

        spec = ModelSpec.for_family(
            "sd14", image_size=image_size, precision=precision, weights=RANDOM_WEIGHTS
        )
        models = networks.build(image_size, precision)
        weights.fill(models.all(), spec, lambda _done: None)
        self._spec, self._all = spec, models
        self._models = {"unet": models.unet, "decoder": models.decoder}
        side = image_size // networks.LATENT_SCALE
        random = np.random.default_rng(0)

        def normal(*shape: int) -> Any:
            return tf.constant(random.normal(size=shape), tf.float32)

        pair = [normal(1, side, side, networks.LATENT_CHANNELS)] * 2
        embedding = [normal(1, networks.TIMESTEP_EMBEDDING_WIDTH)] * 2
        self._inputs = {
            "unet": [tf.concat(pair, 0), tf.concat(embedding, 0), normal(2, 77, 768)],
            "decoder": pair[0],
        }

    def graphs(self, variant: Variant) -> dict[str, Callable[[], Any]]:
        """The networks' graphs, as the variant computes them."""
        import tensorflow as tf

        from model_export.sd14 import precompute

        unet, decoder = (self._models[name] for name in NETWORKS)
        latents, embeddings, context = self._inputs["unet"]
        latents, embeddings = latents[: variant.latents], embeddings[: variant.latents]

        def predict() -> Any:
            provided = (
                precompute.provided(unet, conditioning, {})
                if conditioning
                else contextlib.nullcontext()
            )
            with provided:
                return unet([latents, embeddings, context], training=False)

        with self._computed_as(variant):
            conditioning = (
                precompute.condition(unet, context, {}) if variant.is_precomputed else None
            )
            calls = predict, lambda: decoder(self._inputs["decoder"], training=False)
            return {
                name: tf.function(call).get_concrete_function()
                for name, call in zip(NETWORKS, calls, strict=True)
            }

    def pictures(self, variant: Variant, number: int) -> np.ndarray:
        """uint8 [number, H, W, 3], of a few steps, with seeds 0, 1, ..."""
        import tensorflow as tf

        from model_export.pipeline import TextToImage
        from model_export.sd14.networks import as_networks
        from model_export.spec import MAX_PROMPT_TOKENS
        from model_export.vocabulary import END_OF_TEXT

        with self._computed_as(variant):
            networks = as_networks(self._all, self._spec)
            model = TextToImage(self._spec, networks, "")  # kept alive for its functions
            draw = model.tokens.get_concrete_function()
        shape = [number, MAX_PROMPT_TOKENS]
        prompt, nothing = tf.fill(shape, A_TOKEN), tf.fill(shape, END_OF_TEXT)
        steps, guidance = tf.fill([number], STEPS), tf.fill([number], self._spec.guidance_scale)
        seeds = tf.range(number, dtype=tf.int64)
        return draw(prompt, nothing, steps, guidance, seeds)["images"].numpy()

    @contextlib.contextmanager
    def _computed_as(self, variant: Variant) -> Iterator[None]:
        """Graphs that are traced inside compute as the variant does."""
        from model_export.sd14 import attention
        from model_export.sd14.layers import rewrite

        for model in self._models.values():
            own = {type(one): type(one).call for one in model._flatten_layers()}
            rewrite(model, calls={**own, **variant.calls})
        with mock.patch.object(attention, "MAX_SCORE_BYTES", variant.max_score_bytes):
            yield


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    known = variants()
    options = parser(known).parse_args()
    chosen = {name: one for name, one in known.items() if name in (options.only or known)}
    if options.optimize_once:
        optimize_once()
    _say("making the networks")
    bench = Bench(options.image_size, "float32")
    expected = {name: _run(graph)[0] for name, graph in bench.graphs(known[KERAS_CV]).items()}
    pictures = bench.pictures(known[KERAS_CV], options.pictures) if options.pictures else None
    if options.precision != "float32":
        del bench
        gc.collect()
        bench = Bench(options.image_size, options.precision)
    graphs: dict[str, dict[str, Callable[[], Any]]] = {}
    for name, variant in chosen.items():
        _say(f"tracing {name}")
        graphs[name] = bench.graphs(variant)
    found = {name: Found() for name in chosen}
    for number in range(options.rounds + 1):
        _say(f"round {number} of {options.rounds}" + " (warms up)" * (number == 0))
        for name, one in found.items():
            if options.first_runs and number:
                graphs[name] = bench.graphs(chosen[name])
            for network in NETWORKS:
                output, took = _run(graphs[name][network])
                one.decibels[network] = signal_to_noise(expected[network], output)
                if number or not options.rounds:
                    one.seconds[network].append(took)
    for name, variant in chosen.items() if pictures is not None else ():
        _say(f"drawing {options.pictures} pictures with {name}")
        drawn = bench.pictures(variant, options.pictures)
        found[name].decibels[PICTURE] = psnr(pictures, drawn)
    if options.json:
        options.json.write_text(
            json.dumps([_to_json(chosen[k], v) for k, v in found.items()]), encoding="utf-8"
        )
    print(f"{options.image_size} px, {options.precision}, median seconds (lowest to highest)")
    compared = [*NETWORKS, *[PICTURE] * (pictures is not None)]
    print(" " * 16, *(f"{name:>24}" for name in NETWORKS), *(f"{name:>10}" for name in compared))
    for name, one in found.items():
        figures = [f"{seconds(Figure.of(one.seconds[network])):>24}" for network in NETWORKS]
        close = [f"{one.decibels[what]:>7.1f} dB" for what in compared]
        left_out = "(left out)" * chosen[name].is_tried
        print(f"{name:16}", *figures, *close, "", chosen[name].what, left_out)


def _to_json(variant: Variant, found: Found) -> dict[str, Any]:
    close = {what: None if math.isinf(db) else db for what, db in found.decibels.items()}
    return {
        "what": variant.what,
        "isTried": variant.is_tried,
        "seconds": found.seconds,
        "decibels": close,
    }


def signal_to_noise(expected: np.ndarray, found: np.ndarray) -> float:
    """In decibels: 10 log10 of the mean square of expected over that of the difference."""
    noise = float(np.mean(np.square(found - expected)))
    return 10 * float(np.log10(np.mean(np.square(expected)) / noise)) if noise else float("inf")


def optimize_once() -> None:
    """Makes TensorFlow optimize the graphs that this thread calls once instead of twice."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    eager: Any = context.context()
    options = eager.function_call_options.config_proto_serialized
    config = tf.compat.v1.ConfigProto.FromString(options)
    rewrites = config.graph_options.rewrite_options
    rewrites.meta_optimizer_iterations = rewrites.ONE
    eager.function_call_options = context.FunctionCallOptions(config_proto=config)


def _run(graph: Callable[[], Any]) -> tuple[np.ndarray, float]:
    import tensorflow as tf

    began = time.monotonic()
    output = graph()
    took = time.monotonic() - began
    return tf.cast(output, tf.float32).numpy(), took


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parser(known: Mapping[str, Variant]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.layers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3, help="after a warm-up round [3]")
    parser.add_argument(
        "--pictures", type=int, default=0, help="how many pictures of a few steps to compare [0]"
    )
    parser.add_argument(
        "--first-runs",
        action="store_true",
        help="trace the graph again in each round, to include TensorFlow's optimization of it",
    )
    parser.add_argument(
        "--optimize-once", action="store_true", help="instead of twice, TensorFlow's default"
    )
    parser.add_argument("--json", type=Path, help="write the figures there as a list of variants")
    parser.add_argument("--only", nargs="+", choices=list(known), metavar="VARIANT", default=[])
    return parser


if __name__ == "__main__":
    main()
