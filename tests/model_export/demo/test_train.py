"""Training resumes where it was stopped, and a run from scratch gives weights that load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_export.demo import architecture, networks
from model_export.demo.stage import Report, Stage, read_average

pytestmark = pytest.mark.slow

STEPS = 14


def test_a_stopped_stage_resumes(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole.npz", tmp_path / "stopped.npz"
    lines: list[str] = []
    _fit(whole, lines.append)
    with pytest.raises(KeyboardInterrupt):
        _fit(stopped, _stop_at_step(10))
    with np.load(stopped) as stored:
        assert int(stored["step"]) == 10
    _fit(stopped, lines.append)

    with np.load(whole) as one, np.load(stopped) as other:
        assert sorted(one.files) == sorted(other.files)
        assert int(one["step"]) == STEPS
        for name in one.files:
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-6, err_msg=name)
    assert lines[0].startswith("line  step 10 of 14  loss ") and "min left" in lines[0]


def test_a_stage_learns_and_its_average_follows(tmp_path: Path) -> None:
    weights = _fit(tmp_path / "line.npz", lambda line: None, steps=300)
    np.testing.assert_allclose(weights, [2.0, -1.0], atol=0.1)


@pytest.mark.long
def test_a_run_from_scratch_makes_weights_that_load(tmp_path: Path) -> None:
    steps = {f"{stage}_steps": 2 for stage in ("autoencoder", "decoder", "text", "unet")}
    sizes = {"autoencoder_batch": 4, "text_batch": 4, "unet_batch": 8, "pictures": 250}
    program = (
        "import json, sys; from pathlib import Path\n"
        "from model_export.demo.stage import Recipe\n"
        "from model_export.demo.train import train\n"
        "folder = Path(sys.argv[1])\n"
        "train(folder, Recipe(**json.loads(sys.argv[2])), print, folder / 'weights.npz')\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), json.dumps(steps | sizes)],
        check=True,
        cwd=Path(networks.__file__).parents[2],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    models = architecture.build(networks.read_vocabulary())
    networks.read_weights(models, tmp_path / "weights.npz")
    assert (tmp_path / "vocabulary.txt").read_text() == networks.VOCABULARY_PATH.read_text()


def _fit(path: Path, report: Report, steps: int = STEPS) -> NDArray[np.float32]:
    """Fit y = 2a - b from random points; returns the averaged coefficients."""
    import keras
    import tensorflow as tf

    coefficients = keras.Variable(np.zeros(2, np.float32))
    stage = Stage(path, "line", [coefficients], steps)

    def step(index: Any, points: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            wanted = 2 * points[:, 0] - points[:, 1]
            loss = tf.reduce_mean(tf.square(tf.linalg.matvec(points, coefficients.value) - wanted))
        stage.apply(tape.gradient(loss, [coefficients.value]), average=0.9)
        return {"loss": loss}

    def batch(index: int) -> tuple[NDArray[np.float32]]:
        return (np.random.default_rng(index).normal(size=(16, 2)).astype(np.float32),)

    stage.run(batch, step, 5e-2, report)
    read_average(path, [coefficients])
    return np.asarray(coefficients.value)


def _stop_at_step(step: int) -> Report:
    def report(line: str) -> None:
        if f"step {step} of" in line:
            raise KeyboardInterrupt

    return report
