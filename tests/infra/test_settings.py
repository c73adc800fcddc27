"""Settings: every key is checked, and every refusal says what to type."""

from __future__ import annotations

import pytest
import yaml

from infra import settings
from infra.values import SettingsError
from model_export.spec import SAMPLERS, ModelSpec
from render.recorder import PROJECT, ROOT, stack_config


def values(**changes: str) -> dict[str, str]:
    config = stack_config("local")
    return {k.removeprefix(f"{PROJECT}:"): v for k, v in config.items()} | changes


def test_the_committed_local_stack_gives_the_default_model() -> None:
    parsed = settings.parse(values())
    assert parsed.target == "local"
    assert parsed.model == ModelSpec()
    assert (parsed.local.rest_port, parsed.local.grpc_port) == (8501, 8500)


def test_every_key_is_described_and_has_a_default_in_the_project_file() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(declared) == settings.KEYS
    for key, entry in declared.items():
        assert entry["description"].endswith("."), key
        assert "default" in entry, key


def test_the_project_file_names_every_sampler() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert all(name in declared["sampler"]["description"] for name in SAMPLERS)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("target", "moon", "target: must be local or gke, not 'moon'"),
        ("modelFamily", "sd99", "modelFamily: must be one of demo"),
        ("imageSize", "512", "imageSize: the demo model draws at 64 px, not 512"),
        ("imageSize", "big", "imageSize: must be a whole number from 1 to 4096, not 'big'"),
        ("sampler", "euler", "sampler: must be one of dpmpp_2m_trailing, "),
        ("steps", "0", "steps: must be a whole number from 1 to 50, not '0'"),
        ("steps", "2.5", "steps: must be a whole number from 1 to 50, not '2.5'"),
        ("maxSteps", "51", "maxSteps: must be a whole number from 1 to 50, not '51'"),
        ("maxSteps", "10", "steps: must be a whole number from 1 to 10, not '20'"),
        ("guidanceScale", "nan", "guidanceScale: must be a number from 1 to 30, not 'nan'"),
        ("guidanceScale", "31", "guidanceScale: must be a number from 1 to 30, not '31'"),
        ("restPort", "80", "restPort: must be a whole number from 1024 to 65535, not '80'"),
        ("grpcPort", "8501", "grpcPort: must differ from restPort, both are 8501"),
        ("queue", "-1", "queue: must be a whole number from 1 to 1000, not '-1'"),
        ("requestTimeoutSeconds", "", "requestTimeoutSeconds: must be a whole number from 1 to"),
        ("negativePrompt", "x" * 8193, "negativePrompt: is longer than 8192 bytes"),
    ],
)
def test_a_wrong_value_names_the_key_and_the_remedy(key: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings.parse(values(**{key: value}))
    text = str(error.value)
    assert text.startswith(says)
    assert f"Set it with: pulumi config set {says.partition(':')[0]} " in text
    assert "\n" not in text


def test_a_missing_key_says_how_to_set_it() -> None:
    given = values()
    del given["steps"]
    with pytest.raises(SettingsError, match=r"^steps: is missing. Set it with: pulumi"):
        settings.parse(given)


def test_a_misspelt_key_is_refused_with_the_list_of_keys() -> None:
    with pytest.raises(SettingsError, match=r"^stepz: is not a setting .*maxSteps.*Remove it with"):
        settings.parse(values(stepz="20"))
