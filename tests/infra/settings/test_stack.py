"""Settings: every key is validated, and every error says how to fix it."""

from __future__ import annotations

import re

import pytest
import yaml

from infra.settings import stack as settings
from infra.settings.keys import PLACEHOLDER
from infra.settings.local import LocalSettings
from infra.settings.values import SettingsError
from model_export.spec import SAMPLERS, WEIGHTS_LICENCE, ModelSpec
from render.recorder import PROJECT, ROOT, stack_config


def values(**changes: str) -> dict[str, str]:
    config = stack_config("local")
    return {k.removeprefix(f"{PROJECT}:"): v for k, v in config.items()} | changes


def test_the_committed_local_stack_gives_the_default_model() -> None:
    parsed = settings.parse(values())
    assert parsed.target == "local"
    assert parsed.model == ModelSpec()
    assert parsed.local == LocalSettings(8501, 8500, 8080, 8081)


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
        ("modelFamily", "sd99", "modelFamily: must be one of demo, sd14, not 'sd99'"),
        ("precision", "float16", "precision: must be one of auto, float32, bfloat16"),
        ("precision", "bfloat16", "precision: the demo model supports float32 only"),
        ("weights", "official", "weights: must be bundled for the demo model, not 'official'"),
        ("profile", "slow", "profile: must be one of exact, fast, instant, not 'slow'"),
        ("profile", "instant", "profile: the demo model has no instant: use exact or fast"),
        ("decoder", "tiny", "decoder: the demo model has its own: use full"),
        ("decoder", "small", "decoder: must be full, tiny, or tiny: and the absolute path of a"),
        ("decoder", "tiny:x", "decoder: must be full, tiny, or tiny: and the absolute path of a"),
        ("trace", "maybe", "trace: must be true or false, not 'maybe'"),
        ("imageSize", "512", "imageSize: the demo model draws at 64 px, not 512"),
        ("imageSize", "big", "imageSize: must be a whole number from 1 to 4096, not 'big'"),
        ("sampler", "euler", "sampler: must be one of auto, dpmpp_2m_trailing, "),
        ("steps", "0", "steps: must be a whole number from 1 to 50, not '0'"),
        ("steps", "2.5", "steps: must be a whole number from 1 to 50, not '2.5'"),
        ("maxSteps", "51", "maxSteps: must be a whole number from 1 to 50, not '51'"),
        ("maxGuidanceScale", "0.5", "maxGuidanceScale: must be a number from 1 to 30, not '0.5'"),
        ("guidanceScale", "nan", "guidanceScale: must be a number from 1 to 30, not 'nan'"),
        ("guidanceScale", "31", "guidanceScale: must be a number from 1 to 30, not '31'"),
        ("restPort", "80", "restPort: must be a whole number from 1024 to 65535, not '80'"),
        ("grpcPort", "8501", "grpcPort: must differ from restPort, both are 8501"),
        ("webPort", "1023", "webPort: must be a whole number from 1024 to 65535, not '1023'"),
        ("webPort", "8500", "webPort: must differ from grpcPort, both are 8500"),
        ("webMetricsPort", "8080", "webMetricsPort: must differ from webPort, both are 8080"),
        ("restPort", "8080", "webPort: must differ from restPort, both are 8080"),
        ("queue", "-1", "queue: must be a whole number from 1 to 1000, not '-1'"),
        ("requestTimeoutSeconds", "", "requestTimeoutSeconds: must be a whole number from 1 to"),
        ("negativePrompt", "x" * 8193, "negativePrompt: is longer than 8192 bytes"),
    ],
)
def test_an_invalid_value_is_reported_with_its_key_and_the_remedy(
    key: str, value: str, says: str
) -> None:
    with pytest.raises(SettingsError) as error:
        settings.parse(values(**{key: value}))
    text = str(error.value)
    assert text.startswith(says)
    assert f":{says.partition(':')[0]}: " in text.partition(", under `config:`, put `")[2]
    assert "\n" not in text


def test_more_steps_than_the_most_are_refused() -> None:
    said = r"^steps: must be from 1 to 10, not 20\. In .*: auto`$"
    with pytest.raises(SettingsError, match=said):
        settings.parse(values(steps="20", maxSteps="10"))


def test_automatic_values_stay_within_the_most() -> None:
    model = settings.parse(values(maxSteps="10", maxGuidanceScale="1")).model
    assert (model.steps, model.guidance_scale) == (10, 1.0)


def test_a_sampler_for_few_steps_brings_its_own_values() -> None:
    model = settings.parse(values(sampler="lcm")).model
    assert (model.steps, model.max_steps) == (4, 8)
    assert (model.guidance_scale, model.max_guidance_scale) == (1.0, 2.0)
    chosen = settings.parse(values(sampler="lcm", steps="6", guidanceScale="1.5")).model
    assert (chosen.steps, chosen.guidance_scale) == (6, 1.5)


@pytest.mark.parametrize(
    "one_step",
    [
        {"sampler": "euler_trailing"},
        {"sampler": "lcm", "steps": "1"},
        {"profile": "instant", "steps": "1"},
    ],
)
def test_a_model_of_one_step_is_float32_and_a_line_says_so(
    one_step: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_export.precision.of_this_machine", lambda _family: "bfloat16")
    sd14 = {"modelFamily": "sd14", "acceptLicence": WEIGHTS_LICENCE}
    chosen = values(**sd14, **one_step)
    model = settings.parse(chosen).model
    assert model.precision == "float32"
    (line,) = settings.notes(chosen, model)
    assert line.startswith("precision: auto is float32 here, because bfloat16's error grows")
    several = values(**sd14, sampler="lcm")
    model = settings.parse(several).model
    assert model.precision == "bfloat16" and not settings.notes(several, model)
    fixed = chosen | {"precision": "float32"}
    assert not settings.notes(fixed, settings.parse(fixed).model)
    with pytest.raises(SettingsError, match="precision: bfloat16's error grows 15 times"):
        settings.parse(chosen | {"precision": "bfloat16"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", "99"),
        ("sampler", "x"),
        ("precision", "8"),
        ("precision", "bfloat16"),
        ("weights", "official"),
        ("imageSize", "512"),
        ("restPort", "80"),
        ("restPort", "8080"),
        ("webMetricsPort", "8501"),
    ],
)
def test_the_line_of_the_remedy_works_in_the_stacks_file(key: str, value: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings.parse(values(**{key: value}))
    (line,) = re.findall(r"In Pulumi\.\S+\.yaml, under `config:`, put `([^`]*)`", str(error.value))
    added = {name.partition(":")[2]: str(setting) for name, setting in yaml.safe_load(line).items()}
    settings.parse(values(**({key: value} | added)))


def sd14(**changes: str) -> dict[str, str]:
    return values(**{"modelFamily": "sd14", "acceptLicence": WEIGHTS_LICENCE} | changes)


def test_auto_depends_on_the_family() -> None:
    model = settings.parse(sd14()).model
    assert model == ModelSpec.for_family(
        "sd14", precision=model.precision, accept_licence=WEIGHTS_LICENCE
    )
    assert (model.image_size, model.guidance_scale, model.weights) == (384, 7.5, "official")
    assert model.negative_prompt.startswith("ugly, tiling")


def test_a_setting_overrides_the_familys_default() -> None:
    chosen = sd14(imageSize="512", guidanceScale="3", negativePrompt="", weights="random")
    model = settings.parse(chosen).model
    assert (model.image_size, model.guidance_scale) == (512, 3.0)
    assert (model.negative_prompt, model.weights) == ("", "random:0")


@pytest.mark.parametrize("licence", ["", "yes", "Apache-2.0", "creativeml open rail-m"])
def test_the_official_weights_need_their_licence_accepted_by_name(licence: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings.parse(sd14(acceptLicence=licence))
    text = str(error.value)
    assert text.startswith("acceptLicence: the weights have the licence CreativeML Open RAIL-M")
    assert ':acceptLicence: "CreativeML Open RAIL-M"`' in text


def test_random_weights_need_no_licence() -> None:
    assert settings.parse(values(modelFamily="sd14", weights="random:7")).model.random_seed == 7


@pytest.mark.parametrize(
    ("machine", "expected"), [("n2-standard-4", "float32"), ("c3-standard-8", "bfloat16")]
)
def test_auto_precision_is_the_best_for_the_machine_type(machine: str, expected: str) -> None:
    on_gke = sd14(target="gke", machineType=machine, apiKeys=PLACEHOLDER)
    assert settings.parse(on_gke, "my-project").model.precision == expected
    assert (
        settings.parse(on_gke | {"precision": "float32"}, "my-project").model.precision == "float32"
    )


def test_a_missing_key_is_reported_with_the_command_to_set_it() -> None:
    given = values()
    del given["steps"]
    with pytest.raises(SettingsError, match=r"^steps: is missing. In Pulumi\."):
        settings.parse(given)


def test_a_misspelt_key_is_refused_with_the_list_of_keys() -> None:
    with pytest.raises(SettingsError, match=r"^stepz: is not a setting .*maxSteps.*Remove `"):
        settings.parse(values(stepz="20"))


def test_own_files_are_settings_of_the_model() -> None:
    own = {
        "weights": "/home/ada/model.safetensors",
        "loras": "/home/ada/style.safetensors:0.8",
        "vae": "/home/ada/vae.safetensors",
        "acceptLicence": "own",
    }
    model = settings.parse(sd14(**own)).model
    found = model.weights, model.loras, model.vae, model.accept_licence
    assert found == tuple(own.values())


@pytest.mark.parametrize(
    ("changes", "key", "remedy"),
    [
        ({"acceptLicence": ""}, "acceptLicence", "acceptLicence: own`"),
        ({"loras": "style.safetensors"}, "loras", "loras: /home/ada/style.safetensors:0.8`"),
        ({"vae": "vae.safetensors"}, "vae", "vae: /home/ada/vae.safetensors`"),
        ({"vae": "/a/vae.safetensors", "decoder": "tiny"}, "vae", "Remove `project:vae`"),
        ({"weights": "/home"}, "weights", "weights: /home/ada/model.safetensors`"),
        ({"weights": f"/{'a' * 300}"}, "weights", "File name too long"),
        ({"weights": "~/a.safetensors"}, "weights", "weights: /home/ada/model.safetensors`"),
    ],
)
def test_own_files_that_cannot_be_used_are_told_by_their_setting(
    changes: dict[str, str], key: str, remedy: str
) -> None:
    own = {"weights": "/home/ada/model.safetensors", "acceptLicence": "own"} | changes
    with pytest.raises(SettingsError, match=f"^{key}: ") as error:
        settings.parse(sd14(**own))
    assert remedy in str(error.value)
