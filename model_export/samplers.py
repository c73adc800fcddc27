"""Samplers as constant tables: every solver here is a linear update with per-step coefficients.

At step i the network's output at timestep t is f, and the latent x is updated by

    m = P·x − Q·f                          the predicted clean latent
    x ← A·x + B·m + C·m_prev + D·z,  m_prev ← m

where z is fresh noise: so a sampler is just the numbers (t, P, Q, A, B, C, D) for each step,
computed here in float64. The graph only gathers and multiplies. DDIM is arXiv:2010.02502,
DPM-Solver++ is arXiv:2211.01095, LCM is arXiv:2310.04378 and TCD is arXiv:2402.19159; ᾱ, α, σ and λ
below are theirs (α = √ᾱ, σ = √(1 − ᾱ), λ = ln(α/σ)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.prediction_types import EPSILON, V

Floats = NDArray[np.float64]

TRAIN_TIMESTEPS = 1000
MAX_STEPS = TRAIN_TIMESTEPS // 2
"""With more, some grids would run past the trained timesteps."""
COLUMNS = ("timestep", "P", "Q", "A", "B", "C", "D")
NOISE_COLUMN = COLUMNS.index("D")

_BETA_START = 0.00085
_BETA_END = 0.012
_KARRAS_RHO = 7.0
"""ρ of arXiv:2206.00364, equation 5."""
_LEADING_OFFSET = 1

_DISTILLED_STEPS = 50
"""LCM's and TCD's models were trained on this many timesteps, which are the most they can run."""
_LCM_DATA_SIGMA = 0.5
_LCM_TIMESTEP_SCALE = 10.0
_TCD_GAMMA = 0.3
"""The share of each step that is noise: 0 is none, 1 is all, as in LCM."""


class SamplerError(ValueError):
    """An unknown sampler, or an unsupported number of steps."""


def alphas_cumprod() -> Floats:
    """ᾱ_t for t = 0..999: Stable Diffusion's schedule, linear in √β."""
    betas = np.linspace(np.sqrt(_BETA_START), np.sqrt(_BETA_END), TRAIN_TIMESTEPS) ** 2
    return np.cumprod(1.0 - betas)


class _Path(NamedTuple):
    """A run's path: step i starts at (timesteps[i], ᾱ = abar[i]) and ends at abar_next[i]."""

    timesteps: Floats
    abar: Floats
    abar_next: Floats


def coefficients(sampler: str, num_steps: int, prediction: str = EPSILON) -> Floats:
    """The table of one run: float64 [num_steps, 7], columns as in `COLUMNS`.

    Raises SamplerError for an unknown name, or for a num_steps that the sampler cannot run.
    """
    if sampler not in _SAMPLERS:
        raise SamplerError(f"unknown sampler {sampler!r}; use one of {', '.join(NAMES)}")
    most = _DISTILLED_STEPS if sampler in _DISTILLED else MAX_STEPS
    if not 1 <= num_steps <= most:
        raise SamplerError(f"num_steps must be from 1 to {most}, not {num_steps}")
    rows = _SAMPLERS[sampler](num_steps)
    if prediction == V:
        p, q = COLUMNS.index("P"), COLUMNS.index("Q")  # for ε: 1/α and σ/α
        rows[:, q] /= rows[:, p]  # m = α·x − σ·v
        rows[:, p] = 1.0 / rows[:, p]
    return rows


def table(sampler: str, max_steps: int, prediction: str = EPSILON) -> NDArray[np.float32]:
    """All runs of up to max_steps steps: float32 [max_steps + 1, max_steps, 7].

    `table[n, i]` is step i of a run of n steps. Rows past the end of a run leave x unchanged.
    """
    rows = np.zeros((max_steps + 1, max_steps, len(COLUMNS)), np.float32)
    rows[..., COLUMNS.index("P")] = 1.0
    rows[..., COLUMNS.index("A")] = 1.0
    for num_steps in range(1, max_steps + 1):
        rows[num_steps, :num_steps] = coefficients(sampler, num_steps, prediction)
    return rows


def initial_noise_level(sampler: str) -> float:
    """The first latent is this times unit noise. Euler starts at the first timestep's σ."""
    return float(np.sqrt(1.0 - alphas_cumprod()[-1])) if sampler == _EULER else 1.0


def _trailing(num_steps: int) -> NDArray[np.int64]:
    """From 999 down in equal strides (arXiv:2305.08891, table 2)."""
    grid = np.arange(TRAIN_TIMESTEPS, 0, -TRAIN_TIMESTEPS / num_steps)[:num_steps]
    return grid.round().astype(np.int64) - 1


def _leading(num_steps: int) -> NDArray[np.int64]:
    """Integer strides up from `steps_offset`; leaves out the highest noise levels."""
    stride = TRAIN_TIMESTEPS // num_steps
    return np.arange(num_steps)[::-1] * stride + _LEADING_OFFSET


def _dpmpp_leading(num_steps: int) -> NDArray[np.int64]:
    """DPM-Solver's leading grid divides by n + 1, so that its lowest stride ends above 0."""
    stride = TRAIN_TIMESTEPS // (num_steps + 1)
    return np.arange(1, num_steps + 1)[::-1] * stride + _LEADING_OFFSET


def _keras_cv(num_steps: int) -> NDArray[np.int64]:
    """The grid of keras_cv's `StableDiffusion`: both ends, 999 and 0."""
    ratio = (TRAIN_TIMESTEPS - 1) / (num_steps - 1) if num_steps > 1 else TRAIN_TIMESTEPS
    return (np.arange(num_steps) * ratio).round().astype(np.int64)[::-1]


def _distilled(num_steps: int) -> NDArray[np.int64]:
    """Evenly spaced among the timesteps 999, 979, … 19 that LCM and TCD were trained on."""
    stride = TRAIN_TIMESTEPS // _DISTILLED_STEPS
    trained = np.arange(_DISTILLED_STEPS, 0, -1) * stride - 1
    return trained[np.arange(num_steps) * _DISTILLED_STEPS // num_steps]


def _to_next_of_grid(timesteps: NDArray[np.int64]) -> _Path:
    """Steps from each entry to the next one, and from the last to the clean image (ᾱ = 1)."""
    abar = alphas_cumprod()[timesteps]
    return _Path(timesteps.astype(np.float64), abar, np.append(abar[1:], 1.0))


def _by_stride(timesteps: NDArray[np.int64], final_abar: float) -> _Path:
    """Steps from t to t − 1000//n, whatever the grid's next entry is, like diffusers' DDIM."""
    schedule = alphas_cumprod()
    target = timesteps - TRAIN_TIMESTEPS // len(timesteps)
    abar_next = np.where(target >= 0, schedule[np.maximum(target, 0)], final_abar)
    return _Path(timesteps.astype(np.float64), schedule[timesteps], abar_next)


def _karras(num_steps: int) -> _Path:
    """Noise levels s = σ/α evenly spaced in s^(1/ρ); the network gets the nearest timestep."""
    schedule = alphas_cumprod()
    levels = np.sqrt((1.0 - schedule) / schedule)
    ramp = np.linspace(0.0, 1.0, num_steps)
    high, low = levels[-1] ** (1 / _KARRAS_RHO), levels[0] ** (1 / _KARRAS_RHO)
    chosen = (high + ramp * (low - high)) ** _KARRAS_RHO
    timesteps = np.interp(np.log(chosen), np.log(levels), np.arange(TRAIN_TIMESTEPS)).round()
    abar = 1.0 / (1.0 + chosen**2)
    return _Path(timesteps, abar, np.append(abar[1:], 1.0))


def _ddim(path: _Path) -> Floats:
    """DDIM with η = 0 (equation 12): x' = α'·m + σ'·ε, with ε written as (x − α·m)/σ."""
    alpha, sigma = np.sqrt(path.abar), np.sqrt(1.0 - path.abar)
    alpha_next, sigma_next = np.sqrt(path.abar_next), np.sqrt(1.0 - path.abar_next)
    a = sigma_next / sigma
    b = alpha_next - alpha * a
    return _rows(path, a, b, np.zeros_like(a))


def _rows(path: _Path, a: Floats, b: Floats, d: Floats) -> Floats:
    """The table of a first-order sampler for a network that predicts ε."""
    alpha, sigma = np.sqrt(path.abar), np.sqrt(1.0 - path.abar)
    return np.stack([path.timesteps, 1 / alpha, sigma / alpha, a, b, np.zeros_like(a), d], axis=1)


def _dpmpp_2m(path: _Path) -> Floats:
    """DPM-Solver++(2M), algorithm 2, midpoint form.

    The first step has no m_prev and the last one ends at σ = 0, where λ is infinite: both are
    first order, which is the DDIM step. In between, with h_i = λ_{i+1} − λ_i and r = h_{i−1}/h_i,
    D = (1 + 1/(2r))·m − 1/(2r)·m_prev and x' = (σ'/σ)·x + α'·(1 − e^(−h))·D.
    """
    rows = _ddim(path)
    log_snr = 0.5 * np.log(path.abar / (1.0 - path.abar))  # λ
    h = np.diff(log_snr)
    middle = slice(1, -1)
    r = h[:-1] / h[1:]
    b = np.sqrt(path.abar_next[middle]) * -np.expm1(-h[1:])
    rows[middle, COLUMNS.index("B")] = b * (1 + 1 / (2 * r))
    rows[middle, COLUMNS.index("C")] = -b / (2 * r)
    return rows


def _lcm(path: _Path) -> Floats:
    """LCM's multistep sampling (algorithm 3): the clean latent, with noise for the next step.

    The clean latent is c_skip·x + c_out·m, the boundary conditions of consistency models (equation
    9). The last step ends at ᾱ = 1, which adds no noise.
    """
    scaled = _LCM_TIMESTEP_SCALE * path.timesteps
    c_skip = _LCM_DATA_SIGMA**2 / (scaled**2 + _LCM_DATA_SIGMA**2)
    c_out = scaled / np.sqrt(scaled**2 + _LCM_DATA_SIGMA**2)
    alpha_next, sigma_next = np.sqrt(path.abar_next), np.sqrt(1.0 - path.abar_next)
    return _rows(path, alpha_next * c_skip, alpha_next * c_out, sigma_next)


def _tcd(timesteps: NDArray[np.int64]) -> Floats:
    """TCD's strategic stochastic sampling (algorithm 4), with γ.

    From t to s = (1 − γ)·t' by the network, then to the next step's t' by noise. With r = α'/α_s:
    x' = r·(α_s·m + σ_s·ε) + √(1 − r²)·z. The last step ends at t' = 0.
    """
    schedule = alphas_cumprod()
    target = np.append(timesteps[1:], 0)
    path = _Path(timesteps.astype(np.float64), schedule[timesteps], schedule[target])
    abar_s = schedule[np.floor((1.0 - _TCD_GAMMA) * target).astype(np.int64)]
    to_s = _ddim(path._replace(abar_next=abar_s))
    r = np.sqrt(path.abar_next / abar_s)
    a, b = (r * to_s[:, COLUMNS.index(name)] for name in ("A", "B"))
    return _rows(path, a, b, np.sqrt(1.0 - r**2))


_EULER = "euler_trailing"
_DISTILLED = ("lcm", "tcd")
_SAMPLERS: dict[str, Callable[[int], Floats]] = {
    "dpmpp_2m_trailing": lambda n: _dpmpp_2m(_to_next_of_grid(_trailing(n))),
    "dpmpp_2m_leading": lambda n: _dpmpp_2m(_to_next_of_grid(_dpmpp_leading(n))),
    "dpmpp_2m_karras": lambda n: _dpmpp_2m(_karras(n)),
    "ddim": lambda n: _ddim(_to_next_of_grid(_keras_cv(n))),
    "ddim_trailing": lambda n: _ddim(_by_stride(_trailing(n), final_abar=1.0)),
    "ddim_leading": lambda n: _ddim(_by_stride(_leading(n), final_abar=alphas_cumprod()[0])),
    "ddim_tutorial": lambda n: _ddim(_to_next_of_grid(_leading(n))),
    "lcm": lambda n: _lcm(_to_next_of_grid(_distilled(n))),
    "tcd": lambda n: _tcd(_distilled(n)),
    # Euler's step in σ/α is DDIM's step in these coordinates.
    "euler_trailing": lambda n: _ddim(_to_next_of_grid(_trailing(n))),
}

NAMES: tuple[str, ...] = tuple(_SAMPLERS)
