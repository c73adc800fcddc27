"""The networks: the preconditioning is exact, the weights are small and of this architecture."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from model_export.demo import architecture, layers, networks, noise_schedule
from model_export.profiles import FAST
from model_export.spec import ModelSpec


def test_the_noise_schedule_is_kerascvs() -> None:
    from keras_cv.src.models.stable_diffusion.constants import _ALPHAS_CUMPROD

    assert np.abs(noise_schedule.alphas_cumprod() - np.array(_ALPHAS_CUMPROD)).max() < 1e-6


def test_preconditioning_recovers_the_noise_from_the_velocity() -> None:
    rng = np.random.default_rng(0)
    cumulative = noise_schedule.alphas_cumprod()
    z, eps = rng.standard_normal((2, 1000))
    a, b = np.sqrt(cumulative), np.sqrt(1 - cumulative)
    s = noise_schedule.LATENT_SCALE
    x = a * s * z + b * eps
    n = np.sqrt(cumulative * s * s + 1 - cumulative)
    velocity = a * s / n * eps - b / n * z
    _, skip, out = noise_schedule.preconditioning().T
    assert np.allclose(skip * x + out * velocity, eps)


@pytest.mark.slow
def test_every_timestep_is_recovered_from_its_embedding() -> None:
    layer = layers.precondition_layer()
    rows = layer(noise_schedule.timestep_embedding(np.arange(1000)))
    found = np.concatenate([np.asarray(r) for r in rows], -1)[:, 0, 0]
    assert np.allclose(found, noise_schedule.preconditioning(), atol=1e-6)


def test_the_weights_are_at_most_20_megabytes() -> None:
    assert networks.WEIGHTS_PATH.stat().st_size <= 20_000_000


def test_the_checksum_needs_no_tensorflow() -> None:
    code = (
        "import sys; from model_export.demo import networks; networks.weights_sha256();"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_loaded_networks_have_the_expected_shapes() -> None:
    import tensorflow as tf

    loaded = networks.load(ModelSpec(profile=FAST))
    n = 2
    context = loaded.text_encoder(tf.zeros([n, 77], tf.int32))
    latent = tf.zeros([n, *loaded.latent_shape])
    embedding = tf.constant(noise_schedule.timestep_embedding(np.array([0, 999])))
    assert context.shape == (n, 77, architecture.TEXT_WIDTH)
    conditioning = loaded.condition(context)
    assert loaded.unet(latent, embedding, conditioning).shape == latent.shape
    assert loaded.decoder(latent).shape == (n, 64, 64, 3)
    assert loaded.parameter_count == sum(int(np.prod(v.shape)) for v in loaded.variables)
    assert loaded.cached_unet is not None
    noise, feature = loaded.cached_unet.whole(latent, embedding, conditioning)
    assert (noise.numpy() == loaded.unet(latent, embedding, conditioning).numpy()).all()
    above = loaded.cached_unet.above(latent, embedding, conditioning, feature)
    assert (above.numpy() == noise.numpy()).all()
    stale = loaded.cached_unet.above(latent, embedding, conditioning, feature + 1.0)
    assert (stale.numpy() != noise.numpy()).any()
