"""Models that predict v: known by their files or by a setting, and drawn by their own formula."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from infra.settings import stack as settings
from infra.settings.values import SettingsError
from model_export import families
from model_export.checkpoints import architecture
from model_export.cli import main
from model_export.download import WeightsError
from model_export.families import fingerprint
from model_export.family import Family
from model_export.prediction_types import EPSILON, V
from model_export.sd14 import weights
from model_export.sd14.family import SD14
from model_export.sources import WEIGHTS_LICENCE
from model_export.spec import ModelSpec, SpecError
from tests.infra.settings.test_stack import values as stack_values
from tests.model_export.checkpoints.state_dicts import (
    TINY,
    all_parts,
    as_ldm,
    write,
    write_folder,
)
from tests.model_export.test_few_steps import drawn, model_of, tokens, written_out

PARTS_OF = all_parts(TINY)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A model in a file that says nothing, in one that says v, and in such a folder."""
    monkeypatch.setattr(architecture, "SD1", TINY)
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    tensors = as_ldm(PARTS_OF)
    folder = write_folder(tmp_path / "folder", PARTS_OF)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": V}))
    return {
        "silent": write(tmp_path / "silent.safetensors", tensors),
        "marked": write(tmp_path / "v.safetensors", {**tensors, "v_pred": np.zeros(0)}),
        "folder": folder,
    }


def spec_of(path: Path, **values: Any) -> ModelSpec:
    return ModelSpec.for_family("sd14", weights=str(path), accept_licence="own", **values)


def test_a_model_predicts_what_its_files_say_or_else_the_noise(files: dict[str, Path]) -> None:
    found = {name: spec_of(path).prediction_type for name, path in files.items()}
    assert found == {"silent": EPSILON, "marked": V, "folder": V}
    missing = files["silent"].with_name("none.safetensors")
    assert spec_of(missing).prediction_type == EPSILON


def test_the_setting_says_it_where_a_file_does_not(files: dict[str, Path]) -> None:
    chosen = {
        "modelFamily": "sd14",
        "precision": "float32",
        "weights": str(files["silent"]),
        "acceptLicence": "own",
    }
    automatic = settings.parse(stack_values(**chosen)).model
    set_by_hand = settings.parse(stack_values(**chosen, predictionType=V)).model
    assert (automatic.prediction_type, set_by_hand.prediction_type) == (EPSILON, V)
    assert set_by_hand == spec_of(files["silent"], prediction_type=V)
    with pytest.raises(SettingsError, match="predictionType: must be one of auto, epsilon, v_pred"):
        settings.parse(stack_values(**chosen, predictionType="v"))


def test_the_command_line_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fingerprint", "--family", "sd14", "--weights", "random", "--prediction-type"]
    assert main([*command, V]) == 0
    spec = ModelSpec.for_family("sd14", weights="random", prediction_type=V)
    assert capsys.readouterr().out.strip() == fingerprint(spec)
    assert main([*command, "noise"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "model_export: --prediction-type: must be one of epsilon, v_prediction, not 'noise'"
    )


def test_a_setting_against_what_the_files_say_draws_no_noise(files: dict[str, Path]) -> None:
    for name in ("marked", "folder"):
        assert fingerprint(spec_of(files[name]))
        with pytest.raises(WeightsError, match="says that it predicts v: set predictionType to"):
            fingerprint(spec_of(files[name], prediction_type=EPSILON))


def test_what_a_model_predicts_is_part_of_its_fingerprint_and_of_what_is_published(
    files: dict[str, Path],
) -> None:
    noise, v = spec_of(files["silent"]), spec_of(files["silent"], prediction_type=V)
    assert fingerprint(noise) != fingerprint(v)
    assert "prediction_type" not in noise.to_json()
    published = v.published()
    assert published.prediction_type == V
    assert ModelSpec.from_json(published.to_json()) == published


def test_a_model_that_predicts_v_draws_one_step_in_bfloat16_too() -> None:
    """There the clean latent is hardly more than the network's output, and so is its error."""
    rough = {"weights": "random", "precision": "bfloat16", "sampler": "euler_trailing"}
    assert ModelSpec.for_family("sd14", prediction_type=V, **rough).min_steps == 1


@pytest.mark.parametrize(
    ("family", "values", "message"),
    [
        ("demo", {}, "prediction_type: must be epsilon for the demo model"),
        ("sd14", {"accept_licence": WEIGHTS_LICENCE}, "prediction_type: .* the official weights"),
        ("sd14", {"weights": "random", "profile": "instant"}, "profile: LCM-LoRA is for models"),
        ("sd14", {"weights": "random", "loras": "lcm:0.5"}, "loras: LCM-LoRA is for models"),
    ],
)
def test_what_does_not_predict_v_is_not_drawn_as_if_it_did(
    family: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        ModelSpec.for_family(family, prediction_type=V, **values)
    with pytest.raises(SpecError, match="prediction_type: must be one of epsilon, v_prediction"):
        ModelSpec.for_family(family, prediction_type="sample", **values)


@pytest.mark.usefixtures("no_tokenizer")
def test_a_model_that_predicts_v_draws_by_the_formula_for_v(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = dataclasses.replace(SD14, image_sizes=(64,), image_size=64)
    monkeypatch.setitem(cast(dict[str, Family], families.BY_NAME), "sd14", small)
    random = {"weights": "random", "sampler": "lcm"}
    image = drawn(model_of(ModelSpec.for_family("sd14", prediction_type=V, **random)), tokens())[0]
    assert np.abs(image - written_out("lcm", 4, 1.0, prediction=V)).max() <= 1.0
    assert np.abs(image - written_out("lcm", 4, 1.0)).max() > 10
