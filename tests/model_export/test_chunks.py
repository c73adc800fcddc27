"""Pictures drawn some steps at a time: equal to those drawn whole, and safe with any strings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from model_export.few_steps import BY_SAMPLER
from model_export.profiles import EXACT, FAST
from model_export.spec import SAMPLERS, ModelSpec
from tests.model_export.chunked import drawn_in_chunks

MAX_STEPS = 7
ORDINARY = [sampler for sampler in SAMPLERS if sampler not in BY_SAMPLER]
FINGERPRINT = "0123456789abcdef"


@pytest.fixture(autouse=True, scope="module")
def _one_tokenizer(tokenizer: Any) -> Any:
    """Making one for each model takes longer than drawing with the tiny networks."""
    from model_export import pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "ClipTokenizer", lambda: tokenizer)
        yield
        tiny_model.cache_clear()


@cache
def tiny_model(sampler: str = SAMPLERS[0], profile: str = FAST) -> Any:
    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import tiny_networks

    spec = ModelSpec(sampler=sampler, profile=profile, steps=MAX_STEPS, max_steps=MAX_STEPS)
    return TextToImage(spec, tiny_networks(spec), FINGERPRINT)


def asked(*rows: tuple[int, int]) -> dict[str, Any]:
    """Rows of (number of steps, seed)."""
    import tensorflow as tf

    return {
        "prompt": tf.constant([f"a red circle {seed}" for _, seed in rows], tf.string),
        "negative_prompt": tf.constant(["blue"] * len(rows), tf.string),
        "num_steps": tf.constant([steps for steps, _ in rows], tf.int32),
        "guidance_scale": tf.constant([1.5 + steps for steps, _ in rows], tf.float32),
        "seed": tf.constant([seed for _, seed in rows], tf.int64),
    }


def calls(model: Any) -> Any:
    return lambda signature, **inputs: dict(getattr(model, signature)(**inputs))


def assert_equal(chunked: dict[str, Any], whole: dict[str, Any]) -> None:
    assert chunked.keys() == whole.keys()
    for name, values in whole.items():
        assert chunked[name].numpy().tolist() == values.numpy().tolist(), name


GRAPHS = [(name, profile) for name in ORDINARY for profile in (EXACT, FAST)]
GRAPHS.append(("lcm", EXACT))
"""tcd's graph is lcm's with other numbers, and euler_trailing's that of ddim_trailing."""


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "profile"), GRAPHS)
def test_a_picture_in_chunks_equals_the_whole_one_bit_for_bit(sampler: str, profile: str) -> None:
    model = tiny_model(sampler, profile)
    call = calls_with_tokens(model)

    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(
        rows=st.lists(
            st.tuples(st.integers(1, MAX_STEPS), st.integers(-(2**63), 2**63 - 1)),
            min_size=1,
            max_size=3,
        ),
        chunks=st.lists(st.integers(-1, 4), max_size=6),
    )
    @example(rows=[(MAX_STEPS, 3)], chunks=[1] * MAX_STEPS)
    @example(rows=[(MAX_STEPS, 3), (1, 4)], chunks=[0, 3, 0, 2**31 - 1, 1])
    def check(rows: list[tuple[int, int]], chunks: list[int]) -> None:
        whole = model.tokens(**asked_in_tokens(*rows))["images"].numpy()
        chunked, answers = drawn_in_chunks(call, asked_in_tokens(*rows), [*chunks, MAX_STEPS])
        for image, png in zip(whole, chunked["image_bytes"].numpy(), strict=True):
            assert (pixels(png) == image).all()
        totals = np.maximum(chunks, 0).cumsum() if chunks else []
        for total, answer in zip([*totals, MAX_STEPS], answers, strict=True):
            done = [min(int(total), steps) for steps, _ in rows]
            assert answer["step"].numpy().tolist() == done
            assert answer["num_steps"].numpy().tolist() == [steps for steps, _ in rows]

    check()


def asked_in_tokens(*rows: tuple[int, int]) -> dict[str, Any]:
    import tensorflow as tf

    tokens = (np.arange(len(rows) * 77).reshape(-1, 77) * 150).astype(np.int32)
    numbers = {name: asked(*rows)[name] for name in ("num_steps", "guidance_scale", "seed")}
    return {
        "tokens": tf.constant(tokens),
        "negative_prompt_tokens": tf.constant(tokens[:, ::-1].copy()),
        **numbers,
    }


def calls_with_tokens(model: Any) -> Any:
    """`begin` with token ids: TensorFlow takes seconds to optimize each model's tokenizer."""
    import tensorflow as tf

    from model_export import inputs

    @tf.function(autograph=False, input_signature=inputs.PICTURE_OF_TOKENS)
    def begin(*rows: Any) -> Any:
        strings = (tf.TensorSpec([], tf.string),) * 2
        begun = tf.map_fn(lambda row: model.chunks.begin(*row), rows, fn_output_signature=strings)
        return dict(zip(("state", "context"), begun, strict=True))

    others = calls(model)
    return lambda name, **given: (
        begin(*given.values()) if name == "begin" else others(name, **given)
    )


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_rows_advance_apart_from_each_other() -> None:
    model, rows = tiny_model(), ((MAX_STEPS, 3), (5, 8), (1, 9))
    whole = model.serving_default(**asked(*rows))
    chunks = [[1, 0, 0], [0, 4, 1], [6, -2, 3], [0, 1, 0]]
    chunked, answers = drawn_in_chunks(calls(model), asked(*rows), chunks)
    assert_equal(chunked, whole)
    assert [answer["step"].numpy().tolist() for answer in answers] == [
        [1, 0, 0],
        [1, 4, 1],
        [7, 4, 1],
        [7, 5, 1],
    ]


def test_a_row_alone_equals_the_same_row_in_a_batch() -> None:
    """The strings too, and a picture can go on in another batch."""
    model, rows = tiny_model(), ((MAX_STEPS, 3), (5, 8))
    _, together = drawn_in_chunks(calls(model), asked(*rows), [3, 2])
    for number, row in enumerate(rows):
        _, alone = drawn_in_chunks(calls(model), asked(row), [3, 2])
        for answers in zip(alone, together, strict=True):
            for name in ("state", "preview"):
                of_row, of_batch = (answer[name].numpy() for answer in answers)
                assert of_row[0] == of_batch[number], name


def test_no_steps_change_nothing() -> None:
    model = tiny_model()
    _, (first, *others) = drawn_in_chunks(calls(model), asked((5, 3)), [2, 0, -1, -(2**31)])
    for answer in others:
        assert_equal(answer, first)


def test_what_a_step_leaves_for_the_next_travels_only_where_it_is_read() -> None:
    """The U-Net's feature map is by far the largest part of a state."""
    _, answers = drawn_in_chunks(calls(tiny_model()), asked((MAX_STEPS, 3)), [1] * MAX_STEPS)
    sizes = [len(answer["state"].numpy()[0]) for answer in answers]
    smallest, feature_bytes = min(sizes), 8 * 8 * 4 * 4
    # Before steps 4 and 6 of 7: 1 to 3 are whole, 5 is the first without guidance, 7 the last.
    carried = [(size - smallest) // feature_bytes for size in sizes]
    assert carried == [0, 0, 2, 0, 1, 0, 0]


def test_a_picture_can_be_finished_before_its_last_step() -> None:
    model = tiny_model()
    pictures: list[bytes] = []
    for chunks in ([], [1], [3], [MAX_STEPS]):
        chunked, _ = drawn_in_chunks(calls(model), asked((MAX_STEPS, 3)), chunks)
        pictures.append(chunked["image_bytes"].numpy()[0])
    images = [pixels(png) for png in pictures]
    assert {image.shape for image in images} == {(64, 64, 3)}
    assert len(set(pictures)) == 4


def test_a_preview_is_a_png_as_large_as_the_latent() -> None:
    _, answers = drawn_in_chunks(calls(tiny_model()), asked((3, 1), (4, 2)), [0, 1, 3])
    previews = [png for answer in answers for png in answer["preview"].numpy()]
    assert {Image.open(io.BytesIO(png)).size for png in previews} == {(8, 8)}
    assert len(set(previews)) == 5, "grey in both rows before the first step"


def test_an_empty_batch_gives_an_empty_result() -> None:
    chunked, (advanced,) = drawn_in_chunks(calls(tiny_model()), asked(), [1])
    assert chunked["image_bytes"].shape == (0,)
    assert all(values.shape == (0,) for values in advanced.values())


@pytest.fixture(scope="module")
def begun() -> tuple[bytes, bytes]:
    answer = tiny_model().begin(**asked((5, 3)))
    return answer["state"].numpy()[0], answer["context"].numpy()[0]


def refusal(signature: str, **inputs: Sequence[Any]) -> str:
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        getattr(tiny_model(), signature)(**{n: tf.constant(v) for n, v in inputs.items()})
    return caught.value.message


MARK = f"{FINGERPRINT}-fast".encode()
NUMBERS = slice(len(MARK), len(MARK) + 8)
DAMAGE = {
    "empty": lambda _string: b"",
    "cut short": lambda string: string[:-1],
    "cut in its mark": lambda string: string[:7],
    "another model's": lambda string: b"f" + string[1:],
    "foreign bytes": lambda string: b"\xff" * len(string),
    "a message of TensorFlow": lambda _string: b"\x08\x01\x12\x08\x12\x06\x08\x80\x94\xeb\xdc\x03",
}


@pytest.mark.parametrize("case", list(DAMAGE))
def test_a_damaged_string_fails_the_request(case: str, begun: tuple[bytes, bytes]) -> None:
    state, context = begun
    bad = DAMAGE[case](state)
    said = "state is damaged or of another model: begin the picture again"
    assert said in refusal("finish", state=[bad])
    assert said in refusal("advance", state=[bad], context=[context], steps=[1])
    bad = DAMAGE[case](context)
    message = refusal("advance", state=[state], context=[bad], steps=[1])
    assert "context is damaged or of another model" in message


def test_one_damaged_row_fails_the_request(begun: tuple[bytes, bytes]) -> None:
    state, _ = begun
    assert "state is damaged" in refusal("finish", state=[state, b""])


@pytest.mark.parametrize(
    ("step", "num_steps"), [(-1, 5), (6, 5), (1, 0), (0, -1), (0, MAX_STEPS + 1), (2**31 - 1, 2)]
)
def test_an_impossible_step_fails_the_request(
    step: int, num_steps: int, begun: tuple[bytes, bytes]
) -> None:
    state = bytearray(begun[0])
    state[NUMBERS] = np.array([step, num_steps], "<i4").tobytes()
    for signature, more in (("finish", {}), ("advance", {"context": [begun[1]], "steps": [1]})):
        message = refusal(signature, state=[bytes(state)], **more)
        assert "state has an impossible step" in message


@pytest.mark.parametrize("extra", [1, 4, 10 * 8 * 8 * 4 * 4])
def test_a_cache_that_does_not_fit_fails_the_request(
    extra: int, begun: tuple[bytes, bytes]
) -> None:
    """Step 4 of 7 reads one, of two rows."""
    import tensorflow as tf

    model = tiny_model()
    begun_7 = model.begin(**asked((MAX_STEPS, 3)))
    context = begun_7["context"]
    state = model.advance(begun_7["state"], context, tf.constant([3]))["state"].numpy()[0]
    for bad in (state + bytes(extra), state[:-extra]):
        refusal("advance", state=[bad], context=context, steps=[1])


def test_any_bytes_after_the_mark_draw_or_fail_but_do_no_harm(begun: tuple[bytes, bytes]) -> None:
    import tensorflow as tf

    state, context = begun
    random, model = np.random.default_rng(0), tiny_model()
    for _ in range(20):
        numbers = np.array([random.integers(0, 3), 5], "<i4").tobytes()
        noise = random.bytes(len(state) - NUMBERS.stop)
        noisy = tf.constant([MARK + numbers + noise])
        assert model.finish(noisy)["image_bytes"].shape == (1,)
        advanced = model.advance(noisy, tf.constant([context]), tf.constant([1]))
        assert advanced["preview"].shape == (1,)
    assert_equal(*(model.finish(tf.constant([state])) for _ in range(2)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": np.array([[b"a"]], object)},
        {"state": np.array(b"a", object)},
        {"context": np.array([b"a", b"b"], object)},
        {"steps": np.ones((1, 1), np.int32)},
        {"steps": np.int32(1)},
        {"steps": np.ones(0, np.int32)},
    ],
)
def test_wrong_shapes_are_refused_in_the_graph(wrong: dict[str, Any], exported: Any) -> None:
    import tensorflow as tf

    from tests.model_export.test_pipeline import Runtime

    runtime = Runtime(exported.folder / "1")
    begun = exported.reloaded.signatures["begin"](**asked((3, 1)))
    inputs = {name: begun[name].numpy() for name in ("state", "context")}
    inputs["steps"] = np.ones(1, np.int32)
    assert len(runtime.run("advance", inputs)) == 4
    with pytest.raises(tf.errors.InvalidArgumentError):
        runtime.run("advance", inputs | wrong)


def test_the_saved_model_draws_in_chunks_what_it_draws_whole(exported: Any) -> None:
    signatures = exported.reloaded.signatures

    def call(signature: str, **inputs: Any) -> dict[str, Any]:
        return dict(signatures[signature](**inputs))

    rows = ((6, 3), (2, -5))
    chunked, _ = drawn_in_chunks(call, asked(*rows), [1, 0, 3, 9])
    assert_equal(chunked, signatures["serving_default"](**asked(*rows)))
    assert chunked["fingerprint"].numpy().tolist() == [exported.manifest.fingerprint.encode()] * 2
