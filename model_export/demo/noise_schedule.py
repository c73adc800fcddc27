"""The noise that is in a latent at each timestep, and what the U-Net is told of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRAINED_TIMESTEPS = 1000
LATENT_SCALE = 0.4
"""Standard deviation of the latents. At 1, a layout can still be read from the noise at the last
timestep, and the model learns to rely on that instead of on the text."""
TIMESTEP_EMBEDDING_WIDTH = 128


def alphas_cumprod() -> NDArray[np.float64]:
    """Stable Diffusion's noise schedule ("scaled linear" betas), float64[1000]."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, TRAINED_TIMESTEPS, dtype=np.float64) ** 2
    return np.cumprod(1 - betas, dtype=np.float64)


def preconditioning() -> NDArray[np.float64]:
    """Rows (input scale, skip, output scale) for every timestep, float64[1000, 3].

    With latents of standard deviation s, x = a*s*z + b*e (a^2 = alphas_cumprod, b^2 = 1 - a^2) has
    variance n^2 = a^2 s^2 + b^2. The network sees x/n = a'z + b'e and predicts the velocity
    v = a'e - b'z (Salimans and Ho 2022, arXiv 2202.00512, appendix D), which has unit variance at
    every timestep; the noise is then e = b' x/n + a' v.
    """
    a = np.sqrt(alphas_cumprod()) * LATENT_SCALE
    b = np.sqrt(1 - alphas_cumprod())
    n = np.sqrt(a * a + b * b)
    return np.stack([1 / n, b / n**2, a / n], axis=1)


def timestep_embedding(timesteps: NDArray[np.int64]) -> NDArray[np.float32]:
    """keras_cv's sinusoidal embedding, float32[n, 128]: cosines, then sines."""
    angles = timesteps[:, None] * embedding_frequencies()[None]
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def embedding_frequencies() -> NDArray[np.float64]:
    half = TIMESTEP_EMBEDDING_WIDTH // 2
    return np.exp(-np.log(10000.0) * np.arange(half) / half)
