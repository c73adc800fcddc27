"""Stable Diffusion 1.4 at a tenth of its width, with the same code as the real size.

`test_full_size.py` repeats the most important tests at the real size.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from bench.export_cost import GRAPH_TARGET_BYTES
from model_export.checksums import sha256_of
from model_export.download import WeightsError
from model_export.manifest import Manifest
from model_export.profiles import FAST, PROFILES, Shortcuts
from model_export.reported import RANDOM_WEIGHTS_MARK
from model_export.spec import WEIGHTS_LICENCE, ModelSpec
from model_export.vocabulary import END_OF_TEXT, START_OF_TEXT
from model_export.warmup import WARMUP_PATH
from tests.model_export.chunked import drawn_in_chunks
from tests.model_export.keras_cv_reference import picture
from tests.model_export.narrow_networks import narrow

pytestmark = pytest.mark.slow

SPEC = ModelSpec.for_family(
    "sd14", image_size=256, weights="random:3", sampler="ddim", steps=4, max_steps=5
)
EMPTY = [START_OF_TEXT] + [END_OF_TEXT] * 76
PROMPT = [START_OF_TEXT, 320, 27111, 9038, 320] + [END_OF_TEXT] * 72


@dataclass(frozen=True)
class Narrow:
    """The narrow model as written to a folder, and as reloaded from it."""

    folder: Path
    manifest: Manifest
    reloaded: Any


@pytest.fixture(scope="module")
def networks() -> Any:
    from model_export.sd14.networks import load

    with narrow():
        return load(dataclasses.replace(SPEC, profile=FAST))


@pytest.fixture(scope="module")
def rough_networks() -> Any:
    """The same in bfloat16."""
    from model_export.sd14.networks import load

    with narrow():
        return load(dataclasses.replace(SPEC, profile=FAST, precision="bfloat16"))


@pytest.fixture(scope="module")
def exported(networks: Any, tmp_path_factory: pytest.TempPathFactory) -> Narrow:
    import tensorflow as tf

    from model_export.export import export
    from model_export.sd14.weights import checksum

    folder = tmp_path_factory.mktemp("narrow")
    manifest = export(SPEC, folder, networks=networks, weights_sha256=checksum(SPEC))
    return Narrow(folder, manifest, tf.saved_model.load(str(folder / "1")))


def batch(*rows: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    default = {"tokens": PROMPT, "negative": EMPTY, "steps": 2, "guidance": 7.5, "seed": 11}
    full = [default | row for row in rows]
    return {
        "tokens": tf.constant([row["tokens"] for row in full], tf.int32),
        "negative_prompt_tokens": tf.constant([row["negative"] for row in full], tf.int32),
        "num_steps": tf.constant([row["steps"] for row in full], tf.int32),
        "guidance_scale": tf.constant([row["guidance"] for row in full], tf.float32),
        "seed": tf.constant([row["seed"] for row in full], tf.int64),
    }


def reference_models(seed: int) -> Any:
    from model_export.sd14 import networks, weights

    with narrow():
        models = networks.build(SPEC.image_size, "float32")
    for part, model in zip(weights.PARTS, models.all(), strict=True):
        weights.fill_randomly(part.name, model, seed)
    return models


def difference(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second.astype(int)).max())


@pytest.mark.slow
def test_the_saved_model_draws_what_keras_cv_draws(exported: Narrow) -> None:
    drawn = exported.reloaded.signatures["tokens"](**batch({"steps": 4}))["images"][0].numpy()
    expected = picture(
        reference_models(3),
        256,
        tokens=np.array([PROMPT]),
        num_steps=4,
        guidance_scale=7.5,
        seed=11,
    )
    assert drawn.shape == expected.shape == (256, 256, 3)
    assert difference(drawn, expected) <= 1
    assert drawn.std() > 5


@pytest.mark.slow
def test_a_row_alone_equals_the_same_row_in_a_batch(exported: Narrow) -> None:
    draw = exported.reloaded.signatures["tokens"]
    rows = [{"steps": 3}, {"seed": 5, "guidance": 2.0, "tokens": EMPTY}, {"steps": 1, "seed": 6}]
    together = draw(**batch(*rows))["images"].numpy()
    for row, image in zip(rows, together, strict=True):
        assert (draw(**batch(row))["images"][0].numpy() == image).all()
    assert len({image.tobytes() for image in together}) == 3


@pytest.mark.slow
@pytest.mark.long  # test_samplers.py has its table
def test_the_tutorials_sampler_matches_an_eager_loop_over_its_formula(networks: Any) -> None:
    """The guidance pair in one call, prompt first; its own grid of timesteps."""
    import tensorflow as tf

    from model_export.pipeline import TextToImage
    from model_export.samplers import alphas_cumprod

    steps, guidance, seed = 4, 7.5, 11
    conditioning = networks.condition(networks.text_encoder(tf.constant([PROMPT, EMPTY])))
    latent = tf.random.stateless_normal((1, *networks.latent_shape), [seed, 0], alg="philox")
    timesteps = np.arange(1, 1000, 1000 // steps)[:steps]
    alphas = [float(alphas_cumprod()[t]) for t in timesteps]
    frequencies = np.exp(-math.log(10000) * np.arange(160) / 160)
    for i in reversed(range(steps)):
        angles = timesteps[i] * frequencies
        embedding = tf.constant([[*np.cos(angles), *np.sin(angles)]] * 2, tf.float32)
        pair = networks.unet(tf.concat([latent, latent], 0), embedding, conditioning)
        eps = pair[1:] + guidance * (pair[:1] - pair[1:])
        clean = (latent - math.sqrt(1 - alphas[i]) * eps) / math.sqrt(alphas[i])
        before = alphas[i - 1] if i else 1.0
        latent = eps * math.sqrt(1 - before) + math.sqrt(before) * clean
    expected = np.clip((networks.decoder(latent)[0].numpy() + 1) / 2 * 255, 0, 255)

    spec = ModelSpec.for_family(
        "sd14", image_size=256, weights="random:3", sampler="ddim_tutorial", steps=4, max_steps=4
    )
    model = TextToImage(spec, networks, "f" * 16)
    drawn = model.tokens(**batch({"steps": steps}))["images"][0].numpy()
    assert difference(drawn, expected.round()) <= 1


@pytest.mark.slow
@pytest.mark.long  # test_the_cut_unet_is_the_unet runs bfloat16's networks
def test_bfloat16_draws_nearly_the_same(exported: Narrow, rough_networks: Any) -> None:
    from model_export.pipeline import TextToImage

    assert {variable.dtype.name for variable in rough_networks.variables} == {"bfloat16"}
    spec = dataclasses.replace(SPEC, precision="bfloat16")
    model = TextToImage(spec, rough_networks, "f" * 16)
    rough = model.tokens(**batch({}))["images"][0].numpy()
    exact = exported.reloaded.signatures["tokens"](**batch({}))["images"][0].numpy()
    squared_error = np.mean((rough.astype(float) - exact) ** 2)
    assert squared_error > 0
    assert 20 * math.log10(255 / math.sqrt(squared_error)) > 25


@pytest.mark.slow
@pytest.mark.long  # test_profiles.py is its tiny twin
def test_fast_without_shortcuts_is_exact_bit_for_bit(
    exported: Narrow, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_export.pipeline import TextToImage

    monkeypatch.setitem(PROFILES, FAST, Shortcuts())
    model = TextToImage(dataclasses.replace(SPEC, profile=FAST), networks, "f" * 16)
    rows = batch({"steps": 3}, {"seed": 5, "guidance": 2.0, "tokens": EMPTY})
    expected = exported.reloaded.signatures["tokens"](**rows)["images"].numpy()
    assert (model.tokens(**rows)["images"].numpy() == expected).all()


@pytest.mark.slow
@pytest.mark.long  # test_profiles.py is its tiny twin
def test_in_fast_a_row_alone_equals_the_same_row_in_a_batch(
    exported: Narrow, networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_export.pipeline import TextToImage

    monkeypatch.setitem(PROFILES, FAST, Shortcuts(0.5, cache_interval=2))
    model = TextToImage(dataclasses.replace(SPEC, profile=FAST), networks, "f" * 16)
    rows = [{"steps": 5}, {"seed": 5, "steps": 4, "tokens": EMPTY}]
    together = model.tokens(**batch(*rows))["images"].numpy()
    for row, image in zip(rows, together, strict=True):
        assert (model.tokens(**batch(row))["images"][0].numpy() == image).all()
    exact = exported.reloaded.signatures["tokens"](**batch(*rows))["images"].numpy()
    assert all(difference(*both) > 0 for both in zip(together, exact, strict=True))


@pytest.mark.slow
@pytest.mark.long  # test_chunks.py is its tiny twin
def test_a_picture_in_chunks_equals_the_whole_one_bit_for_bit(exported: Narrow) -> None:
    signatures = exported.reloaded.signatures
    rows = texts({"steps": 3}, {"steps": 2, "seed": 5})
    chunked, _ = drawn_in_chunks(
        lambda name, **inputs: dict(signatures[name](**inputs)), rows, [[1, 0], [0, 2], [5, 1]]
    )
    whole = signatures["serving_default"](**rows)
    assert chunked["image_bytes"].numpy().tolist() == whole["image_bytes"].numpy().tolist()


@pytest.mark.slow
@pytest.mark.long  # test_chunks.py is its tiny twin: preparing these graphs takes a minute
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_in_fast_a_picture_in_chunks_equals_the_whole_one_bit_for_bit(
    precision: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_export.pipeline import TextToImage

    loaded = request.getfixturevalue(
        {"float32": "networks", "bfloat16": "rough_networks"}[precision]
    )
    monkeypatch.setitem(PROFILES, FAST, Shortcuts(0.4, cache_interval=2))
    spec = dataclasses.replace(SPEC, profile=FAST, precision=precision)
    model = TextToImage(spec, loaded, "f" * 16)
    rows = texts({"steps": 5})
    # Steps 2 and 4 of 5 reuse a feature map, of two rows and of one.
    chunked, answers = drawn_in_chunks(
        lambda name, **inputs: dict(getattr(model, name)(**inputs)), rows, [1, 2, 1, 1]
    )
    whole = model.serving_default(**rows)
    assert chunked["image_bytes"].numpy().tolist() == whole["image_bytes"].numpy().tolist()
    sizes = [len(answer["state"].numpy()[0]) for answer in answers]
    element_bytes = {"float32": 4, "bfloat16": 2}[precision]
    feature_bytes = element_bytes * math.prod(loaded.cached_unet.feature_shape)
    assert [(size - min(sizes)) / feature_bytes for size in sizes] == [2, 1, 0, 0]


def texts(*rows: dict[str, Any]) -> dict[str, Any]:
    """The rows of `batch` for the signatures that take a prompt."""
    import tensorflow as tf

    numbers = batch(*rows)
    del numbers["tokens"], numbers["negative_prompt_tokens"]
    prompts = tf.fill([len(rows)], "a lighthouse")
    return {"prompt": prompts, "negative_prompt": tf.fill([len(rows)], "rain"), **numbers}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_cut_unet_is_the_unet(precision: str, request: pytest.FixtureRequest) -> None:
    import tensorflow as tf

    name = {"float32": "networks", "bfloat16": "rough_networks"}[precision]
    loaded = request.getfixturevalue(name)
    *inputs, context = unet_inputs(loaded, latents=2, texts=2)
    inputs.append(loaded.condition(context))
    noise, feature = loaded.cached_unet.whole(*inputs)
    assert (noise.numpy() == loaded.unet(*inputs).numpy()).all()
    assert feature.dtype.name == loaded.cached_unet.feature_dtype == precision
    assert (loaded.cached_unet.above(*inputs, feature).numpy() == noise.numpy()).all()
    stale = loaded.cached_unet.above(*inputs, tf.zeros_like(feature))
    assert (stale.numpy() != noise.numpy()).any()


def unet_inputs(networks: Any, latents: int, texts: int) -> Any:
    """Latents, timestep embeddings and a context, as many as given."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    shapes = (latents, *networks.latent_shape), (latents, 320), (texts, 77, 768)
    return [tf.constant(random.standard_normal(shape), tf.float32) for shape in shapes]


@pytest.mark.slow
def test_one_latent_serves_every_text(networks: Any) -> None:
    import tensorflow as tf

    latent, embedding, context = unet_inputs(networks, latents=1, texts=2)
    conditioning = networks.condition(context)
    twice = networks.unet(tf.repeat(latent, 2, 0), tf.repeat(embedding, 2, 0), conditioning)
    np.testing.assert_allclose(networks.unet(latent, embedding, conditioning), twice, atol=1e-5)
    one, feature = networks.cached_unet.whole(latent, embedding, conditioning)
    np.testing.assert_allclose(one, twice, atol=1e-5)
    above = networks.cached_unet.above(latent, embedding, conditioning, feature)
    np.testing.assert_allclose(above, twice, atol=1e-5)


@pytest.mark.slow
def test_the_unet_uses_what_was_precomputed(networks: Any) -> None:
    """Keys, values and summed weights: other values in their place change its output."""
    import tensorflow as tf

    latent, embedding, context = unet_inputs(networks, latents=1, texts=1)
    conditioning = networks.condition(context)
    expected = networks.unet(latent, embedding, conditioning).numpy()
    without_text = dataclasses.replace(conditioning, context=tf.zeros_like(context))
    assert (networks.unet(latent, embedding, without_text).numpy() == expected).all()
    nothing = tf.nest.map_structure(tf.zeros_like, (conditioning.by_row, conditioning.shared))
    assert len(tf.nest.flatten(nothing[0])) == 2 * 16
    assert len(tf.nest.flatten(nothing[1])) == 4 * 3
    for name, zeros in zip(("by_row", "shared"), nothing, strict=True):
        other = networks.unet(latent, embedding, dataclasses.replace(conditioning, **{name: zeros}))
        assert np.abs(other.numpy() - expected).max() > 1e-3


@pytest.mark.slow
def test_the_graph_contains_no_weights(exported: Narrow) -> None:
    """Its size is the full-size model's: only the variables are narrow."""
    assert (exported.folder / "1" / "saved_model.pb").stat().st_size < GRAPH_TARGET_BYTES


@pytest.mark.slow
def test_random_weights_are_marked_clearly(exported: Narrow) -> None:
    manifest = exported.manifest
    assert manifest.licence == "none (random weights)"
    assert b'"randomWeights": true' in manifest.to_bytes()
    extra = exported.folder / "1" / "assets.extra"
    assert "RANDOM WEIGHTS" in (extra / "NOTICE").read_text()


@pytest.mark.slow
def test_loading_runs_the_networks_once(exported: Narrow) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    records = tf.data.TFRecordDataset(str(exported.folder / "1" / WARMUP_PATH))
    warmed = [PredictionLog.FromString(record.numpy()).predict_log.request for record in records]
    by_name = {request.model_spec.signature_name: request.inputs for request in warmed}
    assert list(by_name) == ["begin", "advance", "finish"]
    assert list(by_name["advance"]["steps"].int_val) == [1]


@pytest.mark.slow
def test_every_picture_from_random_weights_says_so(exported: Narrow) -> None:
    import tensorflow as tf

    answer = exported.reloaded.signatures["serving_default"](
        prompt=tf.constant(["a cat"]),
        negative_prompt=tf.constant([""]),
        num_steps=tf.constant([1]),
        guidance_scale=tf.constant([7.5]),
        seed=tf.constant([1], tf.int64),
    )
    mark = exported.manifest.fingerprint + RANDOM_WEIGHTS_MARK
    assert answer["fingerprint"].numpy().tolist() == [mark.encode()]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(networks: Any) -> None:
    from model_export.sd14.weights import checksum, fill_randomly

    class Model:
        def __init__(self, like: Any) -> None:
            import keras

            self.variables = [keras.Variable(np.zeros(v.shape), name="kernel") for v in like]

    few = networks.variables[:3]
    models = [Model(few) for _ in range(3)]
    heard: list[float] = []
    for model, seed in zip(models, (3, 3, 4), strict=True):
        fill_randomly("text_encoder", model, seed, heard.append)
    assert heard[:3] == sorted(heard[:3]) and heard[2] == 1.0 > heard[0]
    first, second, third = ([v.numpy() for v in model.variables] for model in models)
    for a, b, c in zip(first, second, third, strict=True):
        assert (a == b).all() and (a != c).any()
    other = ModelSpec.for_family("sd14", image_size=256, weights="random:4")
    assert checksum(SPEC) != checksum(other)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """A folder with small files in the official files' format, one layer each."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    from model_export.sd14 import weights

    parts: list[weights.Part] = []
    for part in weights.PARTS:
        path = tmp_path / part.file.name
        model = one_layer("float32")
        weights.fill_randomly(part.name, model, 5)
        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, model)
        checked = dataclasses.replace(part.file, sha256=sha256_of(path))
        parts.append(weights.Part(part.name, checked))
    monkeypatch.setattr(weights, "PARTS", tuple(parts))
    return ModelSpec.for_family("sd14", weights=str(tmp_path), accept_licence=WEIGHTS_LICENCE)


def one_layer(precision: str, width: int = 4) -> Any:
    import keras

    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width, dtype=precision)])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trained_weights_are_read_from_keras_files(precision: str, trained: ModelSpec) -> None:
    from model_export.sd14 import weights

    models = [one_layer(precision) for _ in weights.PARTS]
    heard: list[float] = []
    weights.fill(models, trained, heard.append)
    assert heard[-1] == 1.0
    for part, model in zip(weights.PARTS, models, strict=True):
        expected = one_layer(precision)
        weights.fill_randomly(part.name, expected, 5)
        for found, wanted in zip(model.get_weights(), expected.get_weights(), strict=True):
            assert (found == wanted).all() and found.astype(float).any()


def test_files_of_another_network_are_refused_in_one_line(trained: ModelSpec) -> None:
    from model_export.sd14 import weights

    models = [one_layer("float32"), one_layer("float32", width=5), one_layer("float32")]
    with pytest.raises(WeightsError, match=r"kcv_diffusion_model\.h5 does not fit the unet: "):
        weights.fill(models, trained, lambda _done: None)


@pytest.mark.parametrize("max_score_bytes", [1, 5_000, 10_000, 2**30])
@pytest.mark.parametrize("rows", [1, 2])
def test_sliced_attention_equals_attention(rows: int, max_score_bytes: int) -> None:
    """And its scores stay within the bound, a slice's within a quarter, unless it is one query.

    Queries of one row attend to both rows of keys.
    """
    import tensorflow as tf

    from model_export.sd14.attention import sliced_attention

    random = np.random.default_rng(0)
    queries, keys, values = (
        tf.constant(random.standard_normal((number, 3, 40, 4)), tf.float32)
        for number in (rows, 2, 2)
    )
    weights = tf.nn.softmax(tf.einsum("bhnd,bhmd->bhnm", tf.repeat(queries, 2 // rows, 0), keys))
    expected = tf.einsum("bhnm,bhmd->bhnd", weights, values)
    with mock.patch.object(tf.nn, "softmax", wraps=tf.nn.softmax) as softmax:
        outputs = sliced_attention(queries, keys, values, max_score_bytes)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    of_a_query = 40 * 4
    held = [call.args[0].numpy().nbytes for call in softmax.call_args_list]
    bound = max_score_bytes if len(held) == 1 else max_score_bytes // 4
    assert max(held) <= max(bound, of_a_query)
    assert sum(held) == 2 * 3 * 40 * of_a_query
