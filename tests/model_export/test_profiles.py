"""The profile `fast`: what it skips, that it can skip nothing, and what it must not change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from model_export import samplers
from model_export.profiles import EXACT, FAST, PROFILES, Shortcuts, StepWork, work
from model_export.reported import RANDOM_WEIGHTS_MARK, reported_fingerprint, reported_profile
from model_export.spec import ModelSpec, SpecError

pytestmark = pytest.mark.slow

NOTHING = Shortcuts()
SOME = Shortcuts(guided_fraction=0.5, cache_interval=2, first_whole_steps=2)
ROWS = {"steps": [6, 1, 5, 6], "guidance": [4.0, 7.5, 1.0, 0.0], "seeds": [3, 1234, 0, -5]}
SAMPLERS = ("dpmpp_2m_trailing", "ddim_tutorial")


def test_shortcuts_that_skip_nothing_guide_and_compute_every_step() -> None:
    assert all(work(NOTHING, n) == [StepWork(True, True)] * n for n in range(1, 51))


@pytest.mark.parametrize("interval", [2, 3])
@pytest.mark.parametrize("fraction", [0.0, 0.35, 0.7, 1.0])
def test_the_steps_that_matter_are_whole(fraction: float, interval: int) -> None:
    for num_steps in range(1, 51):
        steps = work(Shortcuts(fraction, interval, first_whole_steps=3), num_steps)
        whole = [i for i, step in enumerate(steps) if step.is_whole]
        guided = [step.is_guided for step in steps]
        assert len(steps) == num_steps
        assert {*range(min(3, num_steps)), num_steps - 1} <= {*whole}
        assert max(np.diff([*whole, num_steps - 1])) <= interval
        assert sum(guided) == min(num_steps, math.ceil(fraction * num_steps))
        assert guided == sorted(guided, reverse=True)
        if 0 < sum(guided) < num_steps:
            assert guided.index(False) in whole


def test_fast_skips_more_than_a_third_of_the_default_pictures_work() -> None:
    shortcuts = PROFILES[FAST]
    assert shortcuts is not None
    steps = work(shortcuts, ModelSpec().steps)
    unet_rows = sum((1 + step.is_guided) * step.is_whole for step in steps)
    assert unet_rows <= 2 * len(steps) / 1.6


def test_a_fingerprint_changes_only_with_the_exporters_version() -> None:
    """Published models keep their names until EXPORTER_VERSION is raised."""
    assert ModelSpec().fingerprint("w") == "9c6960b6eb4688f1"
    sd14 = ModelSpec.for_family("sd14", weights="random", precision="bfloat16")
    assert sd14.fingerprint("w") == "6d2cb8b6d4536692"


def test_a_profile_and_its_shortcuts_are_part_of_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = ModelSpec(profile=FAST)
    before = fast.fingerprint("w")
    assert before != ModelSpec().fingerprint("w")
    monkeypatch.setitem(PROFILES, FAST, SOME)
    assert fast.fingerprint("w") != before


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(
        SpecError, match="profile: must be one of exact, fast, instant, not 'turbo'"
    ):
        ModelSpec(profile="turbo")


@pytest.mark.parametrize("weights", ["random", "official"])
@pytest.mark.parametrize("profile", list(PROFILES))
def test_a_reported_fingerprint_names_the_profile(profile: str, weights: str) -> None:
    spec = ModelSpec.for_family(
        "sd14", profile=profile, weights=weights, accept_licence="CreativeML Open RAIL-M"
    )
    reported = reported_fingerprint(spec, "0123456789abcdef")
    assert reported.startswith("0123456789abcdef")
    assert reported.endswith(RANDOM_WEIGHTS_MARK) == (weights == "random")
    assert reported_profile(reported) == profile


@pytest.mark.parametrize("fingerprint", ["", "another", "a-b", "0123456789abcdef"])
def test_a_fingerprint_without_a_profile_is_read_as_exact(fingerprint: str) -> None:
    assert reported_profile(fingerprint) == EXACT


@pytest.fixture
def one_tokenizer(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one per model takes longer than drawing with the tiny networks."""
    from model_export import pipeline

    monkeypatch.setattr(pipeline, "ClipTokenizer", lambda: tokenizer)


def spec_of(profile: str, sampler: str) -> ModelSpec:
    return ModelSpec(profile=profile, sampler=sampler, steps=6, max_steps=6)


def inputs(rows: list[int]) -> dict[str, Any]:
    import tensorflow as tf

    tokens = np.arange(4 * 77).reshape(4, 77)[rows] * 150
    return {
        "tokens": tf.constant(tokens, tf.int32),
        "negative_prompt_tokens": tf.constant(tokens[:, ::-1].copy(), tf.int32),
        "num_steps": tf.constant([ROWS["steps"][i] for i in rows], tf.int32),
        "guidance_scale": tf.constant([ROWS["guidance"][i] for i in rows], tf.float32),
        "seed": tf.constant([ROWS["seeds"][i] for i in rows], tf.int64),
    }


def drawn(spec: ModelSpec, rows: list[int]) -> np.ndarray:
    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import tiny_networks

    model = TextToImage(spec, tiny_networks(), "f" * 16)
    return model.tokens(**inputs(rows))["images"].numpy()


@pytest.mark.usefixtures("one_tokenizer")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_fast_without_shortcuts_is_exact_bit_for_bit(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = drawn(spec_of(EXACT, sampler), [0, 1, 2, 3])
    monkeypatch.setitem(PROFILES, FAST, NOTHING)
    assert (drawn(spec_of(FAST, sampler), [0, 1, 2, 3]) == exact).all()
    monkeypatch.setitem(PROFILES, FAST, SOME)
    rough = drawn(spec_of(FAST, sampler), [0, 1, 2, 3])
    assert (rough[0] != exact[0]).any()
    assert (rough[1] == exact[1]).all(), "nothing is skipped in a run of one step"


@pytest.mark.usefixtures("one_tokenizer")
def test_in_fast_a_row_alone_equals_the_same_row_in_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from model_export.pipeline import TextToImage
    from tests.model_export.tiny_networks import tiny_networks

    monkeypatch.setitem(PROFILES, FAST, SOME)
    model = TextToImage(spec_of(FAST, SAMPLERS[0]), tiny_networks(), "f" * 16)
    together = model.tokens(**inputs([3, 0, 2, 1]))["images"].numpy()
    for i, row in enumerate([3, 0, 2, 1]):
        assert (model.tokens(**inputs([row]))["images"][0].numpy() == together[i]).all()


@pytest.mark.usefixtures("one_tokenizer")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_fast_matches_a_loop_written_out(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guidance for half of the run, the cached feature map at every other step.

    After the last guided step the sampler's earlier prediction comes from the prompt alone.
    """
    import tensorflow as tf

    from tests.model_export.tiny_networks import EMBEDDING_WIDTH, LATENT_SHAPE, tiny_networks

    monkeypatch.setitem(PROFILES, FAST, SOME)
    networks, given = tiny_networks(), inputs([0])
    unet = networks.cached_unet
    assert unet is not None
    steps, scale, seed = (ROWS[name][0] for name in ("steps", "guidance", "seeds"))
    conditional, unconditional = (
        networks.condition(networks.text_encoder(given[name]))
        for name in ("tokens", "negative_prompt_tokens")
    )
    latent: Any = tf.random.stateless_normal((1, *LATENT_SHAPE), [int(seed), 0], alg="philox")
    clean_before, features = tf.zeros_like(latent), {}
    half = EMBEDDING_WIDTH // 2
    guided, whole = [0, 1, 2], [0, 1, 3, 5]
    for i, row in enumerate(samplers.coefficients(sampler, int(steps))):
        timestep, _, _, a, b, c, _ = map(float, row)
        angles = timestep * np.exp(-math.log(10000) * np.arange(half) / half)
        embedding = tf.constant([[*np.cos(angles), *np.sin(angles)]], tf.float32)
        eps: dict[str, Any] = {}
        for name, conditioning in (("conditional", conditional), ("unconditional", unconditional)):
            if i in whole:
                eps[name], features[name] = unet.whole(latent, embedding, conditioning)
            else:
                eps[name] = unet.above(latent, embedding, conditioning, features[name])

        def clean_with(scale: float, eps: dict[str, Any], latent: Any, row: Any) -> Any:
            mixed = eps["unconditional"] + scale * (eps["conditional"] - eps["unconditional"])
            return float(row[1]) * latent - float(row[2]) * mixed

        clean = clean_with(scale if i in guided else 1.0, eps, latent, row)
        following = a * latent + b * clean + c * clean_before
        clean_before = clean_with(scale if i + 1 in guided else 1.0, eps, latent, row)
        latent = following
    expected = (networks.decoder(latent)[0].numpy() + 1) * 127.5
    image = drawn(spec_of(FAST, sampler), [0])[0]
    assert np.abs(image - np.clip(expected, 0, 255)).max() <= 1.0
    assert image.std() > 5


def test_fast_needs_networks_that_can_be_cut() -> None:
    import dataclasses

    from model_export.denoising import denoiser
    from tests.model_export.tiny_networks import tiny_networks

    whole = dataclasses.replace(tiny_networks(), cached_unet=None)
    with pytest.raises(ValueError, match="no cached U-Net, which profile fast needs"):
        denoiser(ModelSpec(profile=FAST), whole)
