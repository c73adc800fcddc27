"""Distilled models: their steps, their guidance, and what a request for more of both gets."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, cast

import numpy as np
import pytest

from model_export import families, samplers
from model_export.demo.family import DEMO
from model_export.family import Family
from model_export.prediction_types import EPSILON
from model_export.profiles import FAST
from model_export.spec import ModelSpec, SpecError
from tests.model_export.chunked import drawn_in_chunks
from tests.model_export.test_chunks import calls_with_tokens, pixels
from tests.model_export.tiny_networks import EMBEDDING_WIDTH, LATENT_SHAPE, tiny_networks

pytestmark = pytest.mark.usefixtures("no_tokenizer")

SEEDS = [3, 1234, -5]


def spec_of(sampler: str, **values: Any) -> ModelSpec:
    return ModelSpec.for_family("demo", sampler=sampler, **values)


def model_of(spec: ModelSpec, **parts: Any) -> Any:
    from model_export.pipeline import TextToImage

    return TextToImage(spec, dataclasses.replace(tiny_networks(), **parts), "f" * 16)


def tokens(rows: int = 1, **changes: Any) -> dict[str, Any]:
    import tensorflow as tf

    ids = (np.arange(rows * 77).reshape(rows, 77) * 150).astype(np.int32)
    asked = {
        "tokens": tf.constant(ids),
        "negative_prompt_tokens": tf.constant(ids // 2),
        "num_steps": tf.fill([rows], 4),
        "guidance_scale": tf.fill([rows], 1.0),
        "seed": tf.constant(SEEDS[:rows], tf.int64),
    }
    return asked | changes


def drawn(model: Any, asked: dict[str, Any]) -> np.ndarray:
    return model.tokens(**asked)["images"].numpy()


def written_out(
    sampler: str,
    steps: int,
    guidance: float,
    added: np.ndarray | float = 0.0,
    prediction: str = EPSILON,
) -> np.ndarray:
    """The picture by a loop in Python, with noise of (seed, number of the step)."""
    import tensorflow as tf

    networks, asked, seed = tiny_networks(), tokens(), SEEDS[0]

    def noise(number: int) -> Any:
        return tf.random.stateless_normal((1, *LATENT_SHAPE), (seed, number), alg="philox")

    texts = [asked["tokens"], asked["negative_prompt_tokens"]]
    prompt, negative = (networks.condition(networks.text_encoder(text)) for text in texts)
    latent: Any = samplers.initial_noise_level(sampler) * noise(0)
    half = EMBEDDING_WIDTH // 2
    for i, row in enumerate(samplers.coefficients(sampler, steps, prediction)):
        timestep, p, q, a, b, _, d = map(float, row)
        angles = timestep * np.exp(-math.log(10000) * np.arange(half) / half)
        sinusoids = np.concatenate([np.cos(angles), np.sin(angles)])
        embedding = tf.constant([sinusoids + added], tf.float32)
        eps = networks.unet(latent, embedding, prompt)
        if guidance > 1:
            unguided = networks.unet(latent, embedding, negative)
            eps = unguided + guidance * (eps - unguided)
        latent = a * latent + b * (p * latent - q * eps) + d * noise(i + 1)
    return np.clip((networks.decoder(latent)[0].numpy() + 1) * 127.5, 0, 255)


@pytest.mark.parametrize(
    ("sampler", "steps", "guidance"),
    [("lcm", 4, 1.0), ("lcm", 3, 1.5), ("tcd", 4, 1.0), ("euler_trailing", 1, 1.0)],
)
def test_a_distilled_model_draws_what_a_loop_written_out_draws(
    sampler: str, steps: int, guidance: float
) -> None:
    import tensorflow as tf

    asked = tokens(num_steps=tf.constant([steps]), guidance_scale=tf.constant([guidance]))
    image = drawn(model_of(spec_of(sampler)), asked)[0]
    assert np.abs(image - written_out(sampler, steps, guidance)).max() <= 1.0
    assert image.std() > 5


@pytest.mark.parametrize("sampler", ["lcm", "tcd", "euler_trailing", "ddim_trailing"])
def test_without_guidance_the_unet_runs_on_the_prompt_alone(sampler: str) -> None:
    """One row in each step and one text, so half the work; the negative prompt changes nothing."""
    import tensorflow as tf

    rows: list[tuple[str, int]] = []
    networks = tiny_networks()

    def counted(name: str, text: Any) -> Any:
        def count(value: np.ndarray) -> np.ndarray:
            rows.append((name, len(value)))
            return value

        return tf.ensure_shape(tf.numpy_function(count, [text], text.dtype), text.shape)

    model = model_of(
        spec_of(sampler, max_guidance_scale=2.0 if sampler == "lcm" else 1.0, guidance_scale=1.0),
        text_encoder=lambda ids: networks.text_encoder(counted("text", ids)),
        unet=lambda latent, embedding, conditioning: networks.unet(
            latent,
            embedding,
            dataclasses.replace(conditioning, context=counted("step", conditioning.context)),
        ),
    )
    rows.clear()
    asked = tokens()
    alone = drawn(model, asked)
    steps = 4
    assert sorted(rows) == [("step", 1)] * steps + [("text", 1)]
    asked["negative_prompt_tokens"] = asked["tokens"]
    assert (drawn(model, asked) == alone).all()


def test_above_one_the_negative_prompt_counts() -> None:
    import tensorflow as tf

    model = model_of(spec_of("lcm"))
    asked = tokens(guidance_scale=tf.constant([1.5]))
    guided = drawn(model, asked)
    assert (drawn(model, asked | {"negative_prompt_tokens": asked["tokens"]}) != guided).any()


@pytest.mark.parametrize(
    ("sampler", "steps", "guidance", "used_steps", "used_guidance"),
    [
        ("lcm", 20, 7.0, 8, 2.0),
        ("lcm", 0, 0.0, 1, 1.0),
        ("lcm", 6, 1.5, 6, 1.5),
        ("lcm", 4, math.nan, 4, 1.0),
        ("tcd", 20, 7.0, 8, 1.0),
        ("euler_trailing", 20, -math.inf, 4, 1.0),
    ],
)
def test_steps_and_guidance_are_clamped_to_the_models_own(
    sampler: str, steps: int, guidance: float, used_steps: int, used_guidance: float
) -> None:
    """Every client of AUTOMATIC1111's API sends 20 and 7 unless told otherwise."""
    import tensorflow as tf

    from model_export import inputs

    spec = spec_of(sampler)
    assert inputs.safe_steps(spec, tf.constant([steps])).numpy().tolist() == [used_steps]
    safe = inputs.safe_guidance(spec, tf.constant([guidance]))
    assert safe.numpy().tolist() == [used_guidance]


def test_a_distilled_model_returns_the_steps_and_the_guidance_it_used() -> None:
    import tensorflow as tf

    model = model_of(spec_of("lcm"))
    answer = model.serving_default(
        prompt=tf.constant(["a star"] * 2),
        negative_prompt=tf.constant(["red"] * 2),
        num_steps=tf.constant([20, 8]),
        guidance_scale=tf.constant([7.0, 2.0]),
        seed=tf.constant([7] * 2, tf.int64),
    )
    assert answer["num_steps"].numpy().tolist() == [8, 8]
    assert answer["guidance_scale"].numpy().tolist() == [2.0, 2.0]
    asked, within = answer["image_bytes"].numpy()
    assert asked == within


def test_a_distilled_model_describes_its_own_ranges() -> None:
    from model_export.description import description

    spec = spec_of("lcm")
    described = json.loads(description(spec, "f"))
    assert described["distilled"] is True and described["samplers"] == ["lcm"]
    limits = described["limits"]
    assert (limits["defaultSteps"], limits["maxSteps"]) == (4, 8)
    assert (limits["defaultGuidanceScale"], limits["maxGuidanceScale"]) == (1.0, 2.0)
    assert "distilled" not in json.loads(description(ModelSpec(), "f"))


def test_the_error_of_bfloat16_is_kept_out_of_pictures_of_one_step() -> None:
    """At t = 999 the clean latent is 14.6 times the predicted noise, and nothing corrects it."""
    rough = {"weights": "random", "precision": "bfloat16"}
    with pytest.raises(SpecError, match=r"precision: bfloat16's error grows 15 times .* float32"):
        ModelSpec.for_family("sd14", sampler="euler_trailing", **rough)
    assert ModelSpec.for_family("sd14", sampler="euler_trailing", steps=2, **rough).steps == 2
    assert ModelSpec.for_family("sd14", sampler="lcm", **rough).steps == 4


@pytest.fixture
def rough(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What makes a spec of the demo's shapes a bfloat16 model's."""
    both = dataclasses.replace(DEMO, precisions=("float32", "bfloat16"))
    monkeypatch.setitem(cast(dict[str, Family], families.BY_NAME), "demo", both)
    return {"precision": "bfloat16"}


def test_a_request_for_one_step_of_a_bfloat16_model_gets_two(rough: dict[str, str]) -> None:
    import tensorflow as tf

    model = model_of(spec_of("lcm", **rough))
    asked = {
        "prompt": tf.constant(["a star"] * 3),
        "negative_prompt": tf.constant([""] * 3),
        "num_steps": tf.constant([2, 1, -7]),
        "guidance_scale": tf.fill([3], 1.0),
        "seed": tf.constant([7] * 3, tf.int64),
    }
    answer = model.serving_default(**asked)
    assert answer["num_steps"].numpy().tolist() == [2, 2, 2]
    assert len(set(answer["image_bytes"].numpy().tolist())) == 1
    assert model.begin(**asked)["num_steps"].numpy().tolist() == [2, 2, 2]
    # A server's warm-up must not ask for a picture that the model does not draw.
    state, context = model.chunks.blank_strings(0)
    *_, steps, _ = model.chunks.advance(tf.constant(state), tf.constant(context), tf.constant(1))
    assert int(steps) == 2
    state, context = model_of(spec_of("lcm")).chunks.blank_strings(0)  # of one step
    with pytest.raises(tf.errors.InvalidArgumentError, match="state has an impossible step"):
        model.chunks.advance(tf.constant(state), tf.constant(context), tf.constant(1))


@pytest.mark.parametrize("sampler", ["lcm", "tcd", "euler_trailing", "ddim_trailing"])
def test_only_a_distilled_model_in_bfloat16_needs_two_steps(
    sampler: str, rough: dict[str, str]
) -> None:
    guidance = {"guidance_scale": 1.0, "max_guidance_scale": 1.0}
    fine, distilled = spec_of(sampler, **guidance), spec_of(sampler, steps=2, **guidance, **rough)
    ordinary = spec_of(sampler, max_guidance_scale=30, steps=1, **rough)
    assert (fine.min_steps, distilled.min_steps, ordinary.min_steps) == (1, 2, 1)


def test_a_description_names_the_fewest_steps_where_they_are_more_than_one(
    rough: dict[str, str],
) -> None:
    from model_export.description import limits

    assert limits(spec_of("tcd", **rough))["minSteps"] == 2
    assert "minSteps" not in limits(spec_of("tcd"))


def test_other_ranges_than_a_samplers_can_be_chosen() -> None:
    chosen = spec_of("tcd", steps=12, max_steps=16, guidance_scale=1.2, max_guidance_scale=3)
    assert (chosen.steps, chosen.max_steps, chosen.guidance_scale) == (12, 16, 1.2)
    ordinary = spec_of("euler_trailing", max_guidance_scale=30, guidance_scale=7)
    assert not ordinary.is_distilled


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 9}, "steps: must be from 1 to 8, not 9"),
        ({"guidance_scale": 7.5}, "guidance_scale: must be from 1 to 2, not 7.5"),
        ({"max_guidance_scale": 31}, "max_guidance_scale: must be from 1 to 30, not 31"),
        ({"max_guidance_scale": 0.5}, "max_guidance_scale: must be from 1 to 30, not 0.5"),
        ({"max_guidance_scale": math.nan}, "max_guidance_scale: must be from 1 to 30, not nan"),
        ({"profile": FAST}, "profile: fast leaves out work of many steps.* use exact"),
    ],
)
def test_what_a_distilled_model_cannot_do_is_refused(values: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec_of("lcm", **values)


def test_the_range_of_guidance_is_part_of_the_fingerprint_only_where_it_is_the_models_own() -> None:
    spec = ModelSpec(sampler="lcm")
    assert "max_guidance_scale" not in spec.to_json()
    own = dataclasses.replace(spec, max_guidance_scale=4.0)
    assert ModelSpec.from_json(own.to_json()) == own
    assert own.fingerprint("w") != spec.fingerprint("w")


def test_a_row_alone_equals_the_same_row_in_a_batch() -> None:
    import tensorflow as tf

    mixed = tokens(3, num_steps=tf.constant([4, 2, 8]), guidance_scale=tf.constant([1.0, 2.0, 1.0]))
    model = model_of(spec_of("lcm"))
    together = drawn(model, mixed)
    for i in range(3):
        alone = drawn(model, {name: values[i : i + 1] for name, values in mixed.items()})
        assert (alone[0] == together[i]).all()


def test_in_chunks_guided_and_unguided_rows_equal_the_whole_pictures() -> None:
    import tensorflow as tf

    model = model_of(spec_of("lcm"))
    asked = tokens(2, num_steps=tf.constant([4, 3]), guidance_scale=tf.constant([1.0, 1.7]))
    call = calls_with_tokens(model)
    for chunks in ([4], [1, 0, 3], [1] * 4):
        chunked, _ = drawn_in_chunks(call, asked, chunks)
        for png, whole in zip(chunked["image_bytes"].numpy(), drawn(model, asked), strict=True):
            assert (pixels(png) == whole).all()


def test_a_context_of_other_guidance_fails_the_request() -> None:
    """A string of a thousand texts would have the U-Net run on all of them."""
    import tensorflow as tf

    model = model_of(spec_of("lcm"))
    ids = tf.constant(np.zeros(77, np.int32))

    def begun(guidance: float) -> tuple[Any, bytes]:
        seed = tf.constant(1, tf.int64)
        state, context = model.chunks.begin(ids, ids, tf.constant(4), tf.constant(guidance), seed)
        return state, context.numpy()

    (state, context), (guided, pair) = begun(1.0), begun(2.0)
    three = pair + context[16:]
    for one_state, one_context in ((state, pair), (guided, context), (guided, three)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="context is of another picture"):
            model.chunks.advance(one_state, tf.constant(one_context), tf.constant(1))


def projection() -> np.ndarray:
    values = np.random.default_rng(9).standard_normal((256, EMBEDDING_WIDTH)) / 16
    return values.astype(np.float32)


def embedding_of(guidance: float) -> np.ndarray:
    """In the words of the reference: sines first, divisor 127."""
    features = np.zeros(256)
    for k in range(128):
        angle = 1000 * (guidance - 1) * math.exp(-math.log(10000) * k / 127)
        features[k], features[128 + k] = math.sin(angle), math.cos(angle)
    return features @ projection()


def test_a_full_lcm_follows_the_guidance_it_is_told() -> None:
    """By the prompt alone, whatever the scale. Without the embedding it draws another picture."""
    import tensorflow as tf

    spec = spec_of("lcm", guidance_scale=8.0, max_guidance_scale=15.0)
    model = model_of(spec, guidance_embedding=tf.Variable(tf.constant(projection())))
    pictures: list[np.ndarray] = []
    for guidance in (1.0, 8.0, 15.0):
        asked = tokens(guidance_scale=tf.constant([guidance]))
        image = drawn(model, asked)[0]
        assert (drawn(model, asked | {"negative_prompt_tokens": asked["tokens"]}) == image).all()
        expected = written_out("lcm", 4, 1.0, embedding_of(guidance))
        assert np.abs(image - expected).max() <= 1.0
        pictures.append(image)
    plain = drawn(model_of(spec_of("lcm")), tokens())[0]
    assert len({image.tobytes() for image in [*pictures, plain]}) == 4
