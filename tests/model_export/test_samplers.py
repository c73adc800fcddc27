"""Every sampler against a reference: diffusers' outputs, keras_cv's formula, an eager loop.

data/samplers.npz was made with diffusers' scheduler classes (betas scaled_linear 0.00085..0.012,
1000 steps) in float32, from start noise `x_init` [1, 8, 8, 4] and the made-up network
eps(x, t) = tanh(0.7·x + 0.3·sin(0.01·t)). Keys: `<name>/<n>/timesteps` and `<name>/<n>/x_final`.
dpmpp_2m_*: DPMSolverMultistepScheduler (leading and karras with steps_offset 1; karras with
use_karras_sigmas). ddim_*: DDIMScheduler without clip_sample (trailing with set_alpha_to_one,
leading without it and with steps_offset 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from model_export import samplers
from model_export.samplers import Floats
from model_export.spec import SAMPLERS

VECTORS = Path(__file__).parent / "data" / "samplers.npz"
SHARED_VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "samplers.npz"
TOLERANCE = 1e-4
KARRAS_TOLERANCE = 7e-4


def network(x: Floats, timestep: float) -> Floats:
    return np.tanh(0.7 * x + 0.3 * math.sin(0.01 * timestep))


def run(rows: Floats, x: Floats, noise: Sequence[Floats] | None = None) -> Floats:
    """The exported graph's update, in NumPy, with noise for each step but the last."""
    before, noise = np.zeros_like(x), [*(noise or [np.zeros_like(x)] * len(rows)), 0.0 * x]
    for (timestep, p, q, a, b, c, d), fresh in zip(rows, noise, strict=False):
        clean = p * x - q * network(x, timestep)
        x, before = a * x + b * clean + c * before + d * fresh, clean
    return x


def entries() -> Iterator[tuple[str, str, int]]:
    for path in (VECTORS, SHARED_VECTORS):
        if path.exists():
            with np.load(path) as vectors:
                for key in vectors.files:
                    if key.endswith("/x_final"):
                        name, steps, _ = key.split("/")
                        yield str(path), name, int(steps)


@pytest.fixture(scope="module")
def noise() -> Floats:
    with np.load(VECTORS) as vectors:
        return vectors["x_init"].astype(np.float64)


@pytest.mark.parametrize(("path", "name", "steps"), list(entries()))
def test_a_sampler_matches_its_reference(path: str, name: str, steps: int, noise: Floats) -> None:
    with np.load(path) as vectors:
        timesteps = vectors[f"{name}/{steps}/timesteps"]
        expected = vectors[f"{name}/{steps}/x_final"]
    rows = samplers.coefficients(name, steps)
    assert rows.dtype == np.float64 and rows.shape == (steps, 7)
    np.testing.assert_array_equal(rows[:, 0], timesteps)
    tolerance = KARRAS_TOLERANCE if "karras" in name else TOLERANCE
    np.testing.assert_allclose(run(rows, noise), expected, rtol=0, atol=tolerance)


def test_the_vectors_cover_five_samplers_at_ten_lengths() -> None:
    own = [(name, steps) for path, name, steps in entries() if path == str(VECTORS)]
    assert len(own) == len(set(own)) == 50


def test_the_noise_schedule_is_keras_cvs() -> None:
    from keras_cv.src.models.stable_diffusion.constants import _ALPHAS_CUMPROD

    np.testing.assert_allclose(samplers.alphas_cumprod(), _ALPHAS_CUMPROD, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 20, 30, 50])
def test_ddim_is_keras_cvs_own_loop(steps: int, noise: Floats) -> None:
    """The loop of `StableDiffusion.generate_image`, with keras_cv's own numbers."""
    from keras_cv.src.models.stable_diffusion.constants import _ALPHAS_CUMPROD

    ratio = 999 / (steps - 1) if steps > 1 else 1000
    timesteps = (np.arange(0, steps) * ratio).round().astype(np.int64)
    alphas = [_ALPHAS_CUMPROD[t] for t in timesteps]
    x = eager_ddim(timesteps, alphas, noise)
    rows = samplers.coefficients("ddim", steps)
    np.testing.assert_array_equal(rows[:, 0], timesteps[::-1])
    np.testing.assert_allclose(run(rows, noise), x, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 30, 40, 50])
def test_ddim_tutorial_is_the_tutorials_loop(steps: int, noise: Floats) -> None:
    timesteps = np.arange(1, 1000, 1000 // steps)[:steps]
    alphas = [float(samplers.alphas_cumprod()[t]) for t in timesteps]
    x = eager_ddim(timesteps, alphas, noise)
    rows = samplers.coefficients("ddim_tutorial", steps)
    np.testing.assert_allclose(run(rows, noise), x, rtol=0, atol=TOLERANCE)
    if steps == 30:
        assert rows[-1, 0] == 1 and rows[-2, 0] == 34 and rows[0, 0] == 958


def eager_ddim(timesteps: np.ndarray, alphas: list[float], x: Floats) -> Floats:
    previous = [1.0, *alphas[:-1]]
    for timestep, a, a_previous in list(zip(timesteps, alphas, previous, strict=True))[::-1]:
        eps = network(x, float(timestep))
        clean = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
        x = eps * math.sqrt(1 - a_previous) + math.sqrt(a_previous) * clean
    return x


@pytest.mark.parametrize("name", samplers.NAMES)
def test_the_table_holds_every_run_and_leaves_finished_rows_unchanged(name: str) -> None:
    table = samplers.table(name, 12)
    assert table.shape == (13, 12, 7) and table.dtype == np.float32
    assert np.isfinite(table).all()
    for steps in range(1, 13):
        np.testing.assert_array_equal(
            table[steps, :steps], samplers.coefficients(name, steps).astype(np.float32)
        )
        assert (table[steps, steps:] == [0, 1, 0, 1, 0, 0, 0]).all()


@pytest.mark.parametrize("name", samplers.NAMES)
@pytest.mark.parametrize("steps", [1, 2, 50, 333, 499, 500])
def test_every_sampler_has_a_finite_descending_run_of_any_length(name: str, steps: int) -> None:
    if name in ("lcm", "tcd") and steps > 50:
        with pytest.raises(samplers.SamplerError, match=f"must be from 1 to 50, not {steps}"):
            samplers.coefficients(name, steps)
        return
    rows = samplers.coefficients(name, steps)
    assert rows.shape == (steps, 7) and np.isfinite(rows).all()
    assert (np.diff(rows[:, 0]) <= 0).all()


FEW_STEP_ROWS = {
    ("lcm", 4): [
        (999, 14.648814, 14.614641, 0, 0.228501, 0.973544),
        (759, 4.376339, 4.260557, 0, 0.526944, 0.849900),
        (499, 1.897736, 1.612886, 0, 0.811773, 0.583973),
        (259, 1.231871, 0.719380, 0, 1, 0),
    ],
    ("tcd", 4): [
        (999, 14.648814, 14.614641, 0.411414, 0.200416, 0.882788),
        (759, 4.376339, 4.260557, 0.532504, 0.405266, 0.673480),
        (499, 1.897736, 1.612886, 0.503335, 0.546544, 0.397523),
        (259, 1.231871, 0.719380, 0.049925, 0.959047, 0),
    ],
    ("tcd", 1): [(999, 14.648814, 14.614641, 0.029223, 0.997580, 0)],
    ("euler_trailing", 1): [(999, 14.648814, 14.614641, 0, 1, 0)],
    ("euler_trailing", 2): [
        (999, 14.648814, 14.614641, 0.851887, 0.468790, 0),
        (499, 1.897736, 1.612886, 0, 1, 0),
    ],
}
"""Columns timestep, P, Q, A, B and D, worked out from the papers' formulas."""
DISTILLED_GRIDS = [
    [999],
    [999, 499],
    [999, 679, 339],
    [999, 759, 499, 259],
    [999, 799, 599, 399, 199],
    [999, 839, 679, 499, 339, 179],
    [999, 879, 759, 639, 499, 379, 259, 139],
]


@pytest.mark.parametrize(("name", "steps"), list(FEW_STEP_ROWS))
def test_the_few_step_samplers_have_their_papers_rows(name: str, steps: int) -> None:
    rows = samplers.coefficients(name, steps)
    assert (rows[:, samplers.COLUMNS.index("C")] == 0).all()
    without_c = np.delete(rows, samplers.COLUMNS.index("C"), axis=1)
    np.testing.assert_allclose(without_c, FEW_STEP_ROWS[name, steps], rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", DISTILLED_GRIDS)
@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_distilled_models_get_the_timesteps_they_were_trained_on(
    name: str, grid: list[int]
) -> None:
    assert samplers.coefficients(name, len(grid))[:, 0].tolist() == grid


@pytest.mark.parametrize("name", samplers.NAMES)
def test_only_lcm_and_tcd_add_noise_and_never_in_the_last_step(name: str) -> None:
    noise = samplers.coefficients(name, 5)[:, samplers.NOISE_COLUMN]
    assert (noise[:-1] > 0).all() == (name in ("lcm", "tcd")) and noise[-1] == 0
    assert samplers.coefficients(name, 1)[:, samplers.NOISE_COLUMN].tolist() == [0]


@pytest.mark.parametrize("name", samplers.NAMES)
def test_only_euler_starts_below_unit_noise(name: str) -> None:
    level = 0.997667 if name == "euler_trailing" else 1.0
    assert samplers.initial_noise_level(name) == pytest.approx(level, abs=1e-6)


@pytest.mark.parametrize("name", samplers.NAMES)
def test_a_network_that_predicts_v_gives_the_run_of_the_same_one_that_predicts_noise(
    name: str, noise: Floats
) -> None:
    """With v = α·ε − σ·x₀ of the same ε, every step is the same."""
    of_noise = samplers.coefficients(name, 4)
    x = x_of_noise = noise
    for row, row_of_noise in zip(samplers.coefficients(name, 4, samplers.V), of_noise, strict=True):
        eps = network(x_of_noise, row_of_noise[0])
        clean_of_noise = row_of_noise[1] * x_of_noise - row_of_noise[2] * eps
        alpha, sigma = 1 / row_of_noise[1], row_of_noise[2] / row_of_noise[1]
        clean = row[1] * x - row[2] * (alpha * eps - sigma * clean_of_noise)
        np.testing.assert_allclose(clean, clean_of_noise, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(row[3:], row_of_noise[3:])
        x_of_noise = x = row[3] * x + row[4] * clean


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 20])
def test_ddim_trailing_ends_at_the_clean_latent_and_ddim_leading_a_timestep_before(
    steps: int,
) -> None:
    """As diffusers with and without set_alpha_to_one; the stored vectors are of these two."""
    a, b = (samplers.COLUMNS.index(name) for name in "AB")
    assert samplers.coefficients("ddim_trailing", steps)[-1, [a, b]].tolist() == [0, 1]
    _, p, q, *last = samplers.coefficients("ddim_leading", steps)[-1]
    first = samplers.alphas_cumprod()[0]
    noise_left = last[0] * q / p  # A times the last timestep's σ
    assert noise_left == pytest.approx(math.sqrt(1 - first)) == pytest.approx(0.0292, abs=1e-4)


def test_the_spec_and_the_samplers_agree_on_the_names() -> None:
    assert samplers.NAMES == SAMPLERS


@pytest.mark.parametrize(
    ("name", "steps", "message"),
    [
        ("euler", 20, "unknown sampler 'euler'; use one of dpmpp_2m_trailing"),
        ("ddim", 0, "num_steps must be from 1 to 500, not 0"),
        ("ddim", -3, "not -3"),
        ("ddim", 501, "not 501"),
    ],
)
def test_impossible_runs_are_refused(name: str, steps: int, message: str) -> None:
    with pytest.raises(samplers.SamplerError, match=message):
        samplers.coefficients(name, steps)
