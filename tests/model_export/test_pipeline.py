"""The exported graph: what callers of its signatures can rely on.

Those that draw in chunks have test_chunks.py.
"""

from __future__ import annotations

import dataclasses
import io
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model_export.description import description
from model_export.spec import SEED_LIMIT, ModelSpec
from tests.model_export.conftest import ROOT, TINY_SPEC, ExportedModel

PROMPTS = [b"a small red circle", b"two stars", "&lt;ΑΣ 😀".encode(), b""]
NEGATIVES = [b"", b"blue", b"red", b""]
STEPS = [1, 6, 3, 2]
GUIDANCE = [4.0, 1.0, 7.5, 0.0]
SEEDS = [0, 1234, SEED_LIMIT - 1, -5]


def batch(rows: list[int]) -> dict[str, Any]:
    import tensorflow as tf

    return {
        "prompt": tf.constant([PROMPTS[i] for i in rows], tf.string),
        "negative_prompt": tf.constant([NEGATIVES[i] for i in rows], tf.string),
        "num_steps": tf.constant([STEPS[i] for i in rows], tf.int32),
        "guidance_scale": tf.constant([GUIDANCE[i] for i in rows], tf.float32),
        "seed": tf.constant([SEEDS[i] for i in rows], tf.int64),
    }


def token_batch(rows: int = 1, **changes: Any) -> dict[str, Any]:
    import tensorflow as tf

    tokens = np.tile(np.arange(77), (rows, 1)) * 600
    inputs = {
        "tokens": tf.constant(tokens, tf.int32),
        "negative_prompt_tokens": tf.constant(tokens[:, ::-1].copy(), tf.int32),
        "num_steps": tf.fill([rows], 2),
        "guidance_scale": tf.fill([rows], 4.0),
        "seed": tf.fill([rows], tf.constant(3, tf.int64)),
    }
    return inputs | changes


def numpy(outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in outputs.items()}


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture(scope="module")
def default(exported: ExportedModel) -> Any:
    return exported.reloaded.signatures["serving_default"]


@pytest.fixture(scope="module")
def answer(default: Any) -> dict[str, Any]:
    return numpy(default(**batch([0, 1, 2, 3])))


def test_an_answer_is_a_png_for_every_row(answer: dict[str, Any], exported: ExportedModel) -> None:
    for png in answer["image_bytes"]:
        assert png.startswith(b"\x89PNG") and pixels(png).shape == (64, 64, 3)
    assert len({*answer["image_bytes"]}) == 4
    assert answer["num_steps"].tolist() == STEPS
    assert answer["seed"].tolist() == SEEDS
    assert answer["prompt_tokens"][0] == 6 and answer["prompt_tokens"][3] == 2
    assert answer["truncated"].tolist() == [False] * 4
    assert answer["fingerprint"].tolist() == [exported.manifest.fingerprint.encode()] * 4


@pytest.mark.parametrize("row", range(4))
def test_a_row_alone_equals_the_same_row_in_a_batch(
    row: int, default: Any, answer: dict[str, Any]
) -> None:
    alone = numpy(default(**batch([row])))
    for name, values in alone.items():
        assert values[0] == answer[name][row], name


def test_a_rows_position_in_the_batch_does_not_matter(default: Any, answer: dict[str, Any]) -> None:
    backwards = numpy(default(**batch([3, 2, 1, 0])))
    assert backwards["image_bytes"][::-1].tolist() == answer["image_bytes"].tolist()


def test_the_saved_model_equals_the_one_in_memory(
    exported: ExportedModel, answer: dict[str, Any]
) -> None:
    in_memory = numpy(exported.in_memory.serving_default(**batch([0, 1, 2, 3])))
    for name, values in in_memory.items():
        assert values.tolist() == answer[name].tolist(), name


def test_the_signatures_have_the_contracts_names_types_and_shapes(exported: ExportedModel) -> None:
    def described(specs: dict[str, Any]) -> dict[str, str]:
        return {name: f"{s.dtype.name}{s.shape.as_list()}" for name, s in specs.items()}

    chosen = {"num_steps": "int32[None]", "guidance_scale": "float32[None]", "seed": "int64[None]"}
    texts = {"prompt": "string[None]", "negative_prompt": "string[None]"}
    tokens = {"tokens": "int32[None, 77]", "negative_prompt_tokens": "int32[None, 77]"}
    outputs = {
        "image_bytes": "string[None]",
        "seed": "int64[None]",
        "num_steps": "int32[None]",
        "prompt_tokens": "int32[None]",
        "truncated": "bool[None]",
        "negative_prompt_tokens": "int32[None]",
        "negative_prompt_truncated": "bool[None]",
        "fingerprint": "string[None]",
    }
    strings = {"state": "string[None]", "context": "string[None]"}
    without_picture = {name: kind for name, kind in outputs.items() if name != "image_bytes"}
    expected = {
        "serving_default": (texts | chosen, outputs),
        "prompt": ({"prompt": "string[None]"}, outputs),
        "tokens": (tokens | chosen, {"images": "uint8[None, 64, 64, 3]"}),
        "describe": ({"query": "string[None]"}, {"description": "string[None]"}),
        "begin": (texts | chosen, strings | without_picture),
        "advance": (
            strings | {"steps": "int32[None]"},
            {
                "state": "string[None]",
                "step": "int32[None]",
                "num_steps": "int32[None]",
                "preview": "string[None]",
            },
        ),
        "finish": (
            {"state": "string[None]"},
            {"image_bytes": "string[None]", "fingerprint": "string[None]"},
        ),
    }
    signatures = exported.reloaded.signatures
    assert set(signatures) == set(expected)
    for name, (inputs, results) in expected.items():
        assert described(signatures[name].structured_input_signature[1]) == inputs
        assert described(signatures[name].structured_outputs) == results


@pytest.mark.parametrize("seed", [0, 1, 1234, 2**31 - 3])
def test_a_seed_gives_keras_cvs_noise(seed: int) -> None:
    import keras
    import tensorflow as tf

    from model_export.drawing import initial_noise

    noise = initial_noise(tf.constant(seed, tf.int64), (48, 48, 4)).numpy()
    assert (noise == keras.random.normal((1, 48, 48, 4), seed=seed).numpy()[0]).all()
    if seed == 1234:
        golden = [-0.1364331, 0.7609756, -1.739673, 0.4000831, 1.2797266, 0.3130524]
        np.testing.assert_allclose(noise.ravel()[:6], golden, rtol=1e-6)


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1, SEED_LIMIT, 2**31])
def test_any_int64_is_a_seed_and_always_gives_the_same_picture(seed: int, default: Any) -> None:
    import tensorflow as tf

    inputs = batch([0]) | {"seed": tf.constant([seed], tf.int64)}
    first, second = numpy(default(**inputs)), numpy(default(**inputs))
    assert first["image_bytes"][0] == second["image_bytes"][0]
    assert first["seed"][0] == seed


def test_the_loop_matches_keras_cvs() -> None:
    """keras_cv's `generate_image`, written out with the same networks and its own constants."""
    import tensorflow as tf
    from keras_cv.src.models.stable_diffusion.constants import _ALPHAS_CUMPROD

    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import EMBEDDING_WIDTH, LATENT_SHAPE, tiny_networks

    networks, steps, guidance, seed = tiny_networks(), 5, 4.0, 3
    inputs = token_batch(num_steps=tf.constant([steps]))
    conditioning = networks.condition(networks.text_encoder(inputs["tokens"]))
    nothing = networks.condition(networks.text_encoder(inputs["negative_prompt_tokens"]))
    latent = tf.random.stateless_normal((1, *LATENT_SHAPE), [seed, 0], alg="philox")
    timesteps = (np.arange(steps) * 999 / (steps - 1)).round().astype(int)
    alphas = [_ALPHAS_CUMPROD[t] for t in timesteps]
    half = EMBEDDING_WIDTH // 2
    for i, timestep in list(enumerate(timesteps))[::-1]:
        angles = timestep * np.exp(-math.log(10000) * np.arange(half) / half)
        embedding = tf.constant([[*np.cos(angles), *np.sin(angles)]], tf.float32)
        unconditional = networks.unet(latent, embedding, nothing)
        eps = networks.unet(latent, embedding, conditioning)
        eps = unconditional + guidance * (eps - unconditional)
        a, before = alphas[i], alphas[i - 1] if i else 1.0
        clean = (latent - math.sqrt(1 - a) * eps) / math.sqrt(a)
        latent = math.sqrt(1 - before) * eps + math.sqrt(before) * clean
    expected = (networks.decoder(latent)[0].numpy() + 1) / 2 * 255

    model = TextToImage(ModelSpec(sampler="ddim", max_steps=6, steps=5), networks, "f" * 16)
    image = model.tokens(**inputs)["images"][0].numpy()
    assert np.abs(image - expected).max() <= 1.0
    assert image.std() > 5


def test_what_all_steps_share_is_computed_before_the_loop() -> None:
    import tensorflow as tf

    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import tiny_networks

    graphs: dict[str, list[Any]] = {"condition": [], "unet": []}
    networks = tiny_networks()

    def noting(name: str) -> Any:
        def call(*inputs: Any) -> Any:
            graphs[name].append(tf.compat.v1.get_default_graph())
            return getattr(networks, name)(*inputs)

        return call

    noted = dataclasses.replace(networks, condition=noting("condition"), unet=noting("unet"))
    TextToImage(ModelSpec(max_steps=4, steps=4), noted, "f" * 16).signatures()
    assert graphs["unet"]
    for loop in graphs["unet"]:
        assert loop not in graphs["condition"]
        assert loop.outer_graph in graphs["condition"]


def test_a_traced_model_prints_every_step_and_draws_the_same(
    capfd: pytest.CaptureFixture[str],
) -> None:
    import tensorflow as tf

    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import tiny_networks

    traced, plain = ModelSpec(max_steps=4, steps=4, trace=True), ModelSpec(max_steps=4, steps=4)
    assert traced.fingerprint("w") != plain.fingerprint("w")
    inputs = token_batch(num_steps=tf.constant([3]))
    networks = tiny_networks()
    capfd.readouterr()
    model = TextToImage(traced, networks, "f" * 16)
    image = model.tokens(**inputs)["images"].numpy()
    lines = [s for s in capfd.readouterr().err.splitlines() if s.startswith("trace: ")]
    assert [line.partition(" timestep ")[0] for line in lines] == [
        f"trace: step {i} of 3" for i in (1, 2, 3)
    ]
    assert lines[0].startswith("trace: step 1 of 3 timestep 999 latent mean ")
    model = TextToImage(plain, networks, "f" * 16)
    expected = model.tokens(**inputs)["images"].numpy()
    assert capfd.readouterr().err.count("trace: ") == 0
    assert (image == expected).all()


@pytest.mark.parametrize(("asked", "used"), [(-(2**31), 1), (0, 1), (4, 4), (7, 6), (2**31 - 1, 6)])
def test_steps_are_clamped_and_the_value_used_is_returned(
    asked: int, used: int, default: Any
) -> None:
    import tensorflow as tf

    clamped = numpy(default(**batch([0]) | {"num_steps": tf.constant([asked], tf.int32)}))
    plain = numpy(default(**batch([0]) | {"num_steps": tf.constant([used], tf.int32)}))
    assert clamped["num_steps"].tolist() == [used]
    assert clamped["image_bytes"][0] == plain["image_bytes"][0]


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        (math.nan, TINY_SPEC.guidance_scale),
        (math.inf, 30.0),
        (-math.inf, 0.0),
        (1e30, 30.0),
        (-3.0, 0.0),
    ],
)
def test_an_unusable_guidance_scale_is_made_safe(asked: float, used: float, default: Any) -> None:
    import tensorflow as tf

    odd = numpy(default(**batch([1]) | {"guidance_scale": tf.constant([asked])}))
    plain = numpy(default(**batch([1]) | {"guidance_scale": tf.constant([used])}))
    assert odd["image_bytes"][0] == plain["image_bytes"][0]


def test_every_input_changes_the_picture(default: Any, answer: dict[str, Any]) -> None:
    import tensorflow as tf

    changes = {
        "prompt": tf.constant([b"another"]),
        "negative_prompt": tf.constant([b"another"]),
        "num_steps": tf.constant([4]),
        "guidance_scale": tf.constant([2.0]),
        "seed": tf.constant([99], tf.int64),
    }
    for name, value in changes.items():
        changed = numpy(default(**batch([2]) | {name: value}))
        assert changed["image_bytes"][0] != answer["image_bytes"][2], name


def test_a_long_prompt_is_truncated_and_marked(default: Any) -> None:
    import tensorflow as tf

    long = b" ".join([b"cat"] * 100)
    cut = numpy(default(**batch([0]) | {"prompt": tf.constant([long])}))
    assert cut["truncated"][0] and cut["prompt_tokens"][0] == 102
    kept = numpy(default(**batch([0]) | {"prompt": tf.constant([b" ".join([b"cat"] * 75)])}))
    assert not kept["truncated"][0] and kept["image_bytes"][0] == cut["image_bytes"][0]


def test_a_long_negative_prompt_is_truncated_and_marked_apart_from_the_prompt(default: Any) -> None:
    import tensorflow as tf

    def ask(words: int) -> dict[str, Any]:
        negative = tf.constant([b" ".join([b"cat"] * words)])
        return numpy(default(**batch([0]) | {"negative_prompt": negative}))

    cut, kept = ask(100), ask(75)
    assert cut["negative_prompt_truncated"][0] and cut["negative_prompt_tokens"][0] == 102
    assert not cut["truncated"][0]
    assert not kept["negative_prompt_truncated"][0] and kept["negative_prompt_tokens"][0] == 77
    assert kept["image_bytes"][0] == cut["image_bytes"][0]


@pytest.mark.parametrize("queries", [[b""], [b"a", b"b\xff", b""], []])
def test_a_model_says_what_it_is_in_every_row(
    queries: list[bytes], exported: ExportedModel
) -> None:
    import tensorflow as tf

    describe = exported.reloaded.signatures["describe"]
    answer = numpy(describe(query=tf.constant(queries, tf.string)))
    assert list(answer) == ["description"]
    expected = description(TINY_SPEC, exported.manifest.fingerprint).encode()
    assert answer["description"].tolist() == [expected] * len(queries)


def test_the_prompt_signature_uses_the_specs_defaults(
    exported: ExportedModel, default: Any
) -> None:
    import tensorflow as tf

    drawn = numpy(exported.reloaded.signatures["prompt"](prompt=tf.constant(PROMPTS)))
    assert drawn["num_steps"].tolist() == [TINY_SPEC.steps] * 4
    assert all(0 <= seed < SEED_LIMIT for seed in drawn["seed"])
    assert len(set(drawn["seed"].tolist())) == 4
    again = numpy(
        default(
            prompt=tf.constant(PROMPTS),
            negative_prompt=tf.fill([4], TINY_SPEC.negative_prompt),
            num_steps=tf.fill([4], TINY_SPEC.steps),
            guidance_scale=tf.fill([4], TINY_SPEC.guidance_scale),
            seed=tf.constant(drawn["seed"], tf.int64),
        )
    )
    for name, values in drawn.items():
        assert values.tolist() == again[name].tolist(), name


DRAW_SEEDS = """
import sys, tensorflow as tf
draw = tf.saved_model.load(sys.argv[1]).signatures["prompt"]
print(*[int(draw(prompt=tf.constant(["a"]))["seed"][0]) for _ in range(3)])
"""


@pytest.mark.slow
def test_drawn_seeds_differ_between_processes_and_calls(exported: ExportedModel) -> None:
    """Even though the exporting process had a global seed."""
    command = [sys.executable, "-c", DRAW_SEEDS, str(exported.folder / "1")]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in processes]
    seeds = [int(seed) for output in outputs for seed in output.split()]
    assert len(seeds) == len(set(seeds)) == 6


def test_token_ids_outside_the_vocabulary_read_as_the_end_token(exported: ExportedModel) -> None:
    import tensorflow as tf

    from model_export.vocabulary import END_OF_TEXT

    draw = exported.reloaded.signatures["tokens"]
    odd = np.full((1, 77), END_OF_TEXT)
    odd[0, 5:8] = [-1, 49408, 2**31 - 1]
    ends = np.full((1, 77), END_OF_TEXT)
    images = [
        draw(**token_batch(tokens=tf.constant(t, tf.int32)))["images"].numpy() for t in (odd, ends)
    ]
    assert (images[0] == images[1]).all()


def test_an_empty_batch_gives_an_empty_result(exported: ExportedModel) -> None:
    import tensorflow as tf

    signatures = exported.reloaded.signatures
    assert signatures["serving_default"](**batch([]))["image_bytes"].shape == (0,)
    assert signatures["prompt"](prompt=tf.constant([], tf.string))["seed"].shape == (0,)
    empty = {name: value[:0] for name, value in token_batch().items()}
    assert signatures["tokens"](**empty)["images"].shape == (0, 64, 64, 3)


class Runtime:
    """Runs a signature like a C++ server, without Python's checks of rank and shape."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        with self._graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self._signatures = meta.signature_def

    def run(self, signature: str, inputs: dict[str, Any]) -> list[np.ndarray]:
        chosen = self._signatures[signature]

        def output(info: Any) -> Any:
            return self._graph.get_tensor_by_name(info.name)._as_tf_output()

        feeds = {output(chosen.inputs[name]): np.asarray(v) for name, v in inputs.items()}
        fetches = [output(info) for info in chosen.outputs.values()]
        return self._session._call_tf_sessionrun(None, feeds, fetches, [], None)


@pytest.fixture(scope="module")
def runtime(exported: ExportedModel) -> Runtime:
    return Runtime(exported.folder / "1")


def test_the_runtime_accepts_what_fits(runtime: Runtime) -> None:
    (images,) = runtime.run("tokens", token_batch(2))
    assert images.shape == (2, 64, 64, 3)


WRONG_TOKENS = {
    "tokens too short": {"tokens": np.zeros((1, 76), np.int32)},
    "tokens too long": {"tokens": np.zeros((1, 78), np.int32)},
    "negative tokens too short": {"negative_prompt_tokens": np.zeros((1, 76), np.int32)},
    "tokens without a batch axis": {"tokens": np.zeros(77, np.int32)},
    "tokens with an axis too many": {"tokens": np.zeros((1, 77, 1), np.int32)},
    "steps without a batch axis": {"num_steps": np.int32(3)},
    "steps with an axis too many": {"num_steps": np.ones((1, 1), np.int32)},
    "guidance without a batch axis": {"guidance_scale": np.float32(3)},
    "seeds with an axis too many": {"seed": np.ones((1, 2), np.int64)},
    "more seeds than rows": {"seed": np.ones(2, np.int64)},
    "fewer steps than rows": {"num_steps": np.ones(0, np.int32)},
}


@pytest.mark.parametrize("case", list(WRONG_TOKENS))
def test_wrong_shapes_of_the_tokens_signature_are_refused_in_the_graph(
    case: str, runtime: Runtime
) -> None:
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        runtime.run("tokens", token_batch(**WRONG_TOKENS[case]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": np.array([[b"a"]], object)},
        {"negative_prompt": np.array([b"a", b"b"], object)},
        {"seed": np.ones(0, np.int64)},
        {"guidance_scale": np.float32(1)},
    ],
)
def test_wrong_shapes_of_the_default_signature_are_refused_in_the_graph(
    wrong: dict[str, Any], runtime: Runtime
) -> None:
    import tensorflow as tf

    inputs = {name: value.numpy() for name, value in batch([0]).items()}
    with pytest.raises(tf.errors.InvalidArgumentError):
        runtime.run("serving_default", inputs | wrong)
