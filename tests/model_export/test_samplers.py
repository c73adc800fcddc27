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
from collections.abc import Iterator
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


def run(rows: Floats, x: Floats) -> Floats:
    """The exported graph's update, in NumPy."""
    before = np.zeros_like(x)
    for timestep, inverse_alpha, sigma_over_alpha, a, b, c in rows:
        clean = inverse_alpha * x - sigma_over_alpha * network(x, timestep)
        x, before = a * x + b * clean + c * before, clean
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
    assert rows.dtype == np.float64 and rows.shape == (steps, 6)
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
    assert table.shape == (13, 12, 6) and table.dtype == np.float32
    assert np.isfinite(table).all()
    for steps in range(1, 13):
        np.testing.assert_array_equal(
            table[steps, :steps], samplers.coefficients(name, steps).astype(np.float32)
        )
        assert (table[steps, steps:] == [0, 1, 0, 1, 0, 0]).all()


@pytest.mark.parametrize("name", samplers.NAMES)
@pytest.mark.parametrize("steps", [1, 2, 333, 499, 500])
def test_every_sampler_has_a_finite_descending_run_of_any_length(name: str, steps: int) -> None:
    rows = samplers.coefficients(name, steps)
    assert rows.shape == (steps, 6) and np.isfinite(rows).all()
    assert (np.diff(rows[:, 0]) <= 0).all()


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
