"""lcm, tcd and euler_trailing against diffusers' schedulers, for networks that predict ε and v.

data/few_step_samplers.npz was made by `reference` below: diffusers' LCMScheduler, TCDScheduler and
EulerDiscreteScheduler (trailing) in float32, with the made-up network of test_samplers.py, from
start noise `x_init` [1, 8, 8, 4], with `noise` [7, 1, 8, 8, 4] in place of their generators'. Keys:
`<name>/<prediction>/<n>/timesteps` and `…/x_final`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from model_export import samplers
from model_export.samplers import Floats
from tests.model_export.test_samplers import network, run

VECTORS = Path(__file__).parent / "data" / "few_step_samplers.npz"
TOLERANCE = 1e-4
NAMES = ("lcm", "tcd", "euler_trailing")
PREDICTIONS = (samplers.EPSILON, samplers.V)
LENGTHS = (1, 2, 3, 4, 5, 6, 8)
RUNS = [(name, kind, steps) for name in NAMES for kind in PREDICTIONS for steps in LENGTHS]


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    with np.load(VECTORS) as stored:
        return {key: stored[key] for key in stored.files}


def ours(name: str, kind: str, steps: int, vectors: dict[str, Any]) -> Floats:
    start = samplers.initial_noise_level(name) * vectors["x_init"].astype(np.float64)
    return run(samplers.coefficients(name, steps, kind), start, list(vectors["noise"][: steps - 1]))


@pytest.mark.parametrize(("name", "kind", "steps"), RUNS)
def test_a_few_step_sampler_matches_its_reference(
    name: str, kind: str, steps: int, vectors: dict[str, Any]
) -> None:
    rows = samplers.coefficients(name, steps, kind)
    key = f"{name}/{kind}/{steps}"
    np.testing.assert_array_equal(rows[:, 0], vectors[f"{key}/timesteps"])
    drawn = ours(name, kind, steps, vectors)
    np.testing.assert_allclose(drawn, vectors[f"{key}/x_final"], rtol=0, atol=TOLERANCE)


def reference(
    name: str, kind: str, steps: int, x_init: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(timesteps, the last latent) by diffusers."""
    import diffusers
    import torch

    schedule = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": kind,
    }
    scheduler: Any = {
        "lcm": lambda: diffusers.LCMScheduler(**schedule, clip_sample=False),
        "tcd": lambda: diffusers.TCDScheduler(**schedule, clip_sample=False),
        "euler_trailing": lambda: diffusers.EulerDiscreteScheduler(
            **schedule, timestep_spacing="trailing"
        ),
    }[name]()
    scheduler.set_timesteps(steps)
    fresh = iter(torch.from_numpy(noise))
    module = type(scheduler).__module__
    x = torch.from_numpy(x_init) * scheduler.init_noise_sigma
    with mock.patch(f"{module}.randn_tensor", lambda *_, **__: next(fresh)):
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, timestep).numpy().astype(np.float64)
            output = torch.from_numpy(network(scaled, float(timestep))).float()
            x = scheduler.step(output, timestep, x).prev_sample
    return scheduler.timesteps.numpy(), x.numpy()


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in NAMES for k in PREDICTIONS])
def test_every_length_of_run_is_diffusers(
    name: str, kind: str, vectors: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("diffusers", reason="diffusers is in requirements-bench.txt")
    generator = np.random.default_rng(2)
    noise = generator.standard_normal((50, *vectors["x_init"].shape)).astype(np.float32)
    for steps in range(1, 51):
        timesteps, expected = reference(name, kind, steps, vectors["x_init"], noise)
        rows = samplers.coefficients(name, steps, kind)
        np.testing.assert_array_equal(rows[:, 0], timesteps)
        drawn = ours(name, kind, steps, vectors | {"noise": noise})
        np.testing.assert_allclose(drawn, expected, rtol=0, atol=TOLERANCE)
