"""What a request to txt2img asks of the queue, and what is said about the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prediction.description import Served
from prediction.limits import Limits
from web.a1111 import errors
from web.a1111.checkpoint import Checkpoint
from web.a1111.txt2img_request import IDLE_FIELDS, IDLE_VALUES, TextToImage
from web.faults import FaultError
from web.jobs.costs import Costs
from web.jobs.refusals import RefusedError
from web.jobs.wishes import Wish, asked_for

MODEL = Checkpoint("sd14", "0123456789", "stable-diffusion", "DPM++ 2M", "SGM Uniform")

WEBUIAPI_DEFAULTS: dict[str, Any] = {
    **{"enable_hr": False, "hr_scale": 2, "hr_upscaler": "Latent", "hr_second_pass_steps": 0},
    **{"hr_resize_x": 0, "hr_resize_y": 0, "denoising_strength": 0.7, "firstphase_width": 0},
    **{"firstphase_height": 0, "negative_prompt": "", "styles": [], "seed": -1, "subseed": -1},
    **{"subseed_strength": 0.0, "seed_resize_from_h": 0, "seed_resize_from_w": 0},
    **{"batch_size": 1, "n_iter": 1, "steps": 20, "cfg_scale": 7.0, "width": 64, "height": 64},
    **{"restore_faces": False, "tiling": False, "do_not_save_samples": False},
    **{"do_not_save_grid": False, "eta": 1.0, "s_churn": 0, "s_tmax": 0, "s_tmin": 0, "s_noise": 1},
    **{"override_settings": {}, "override_settings_restore_afterwards": True, "script_args": []},
    **{"script_name": None, "send_images": True, "save_images": False, "alwayson_scripts": {}},
}
"""What the library sends with each request, but for the sampler."""


def wish(fields: dict[str, Any]) -> Wish:
    return TextToImage.model_validate({"prompt": "a", **fields}).wish(MODEL, "")


def test_absent_fields_leave_everything_to_the_model() -> None:
    found = wish({})
    assert (found.steps, found.guidance_scale, found.seed) == (None, None, None)
    assert (found.width, found.height, found.count, found.negative_prompt) == (None, None, 1, None)
    assert found.notes == ()


def test_fields_that_ask_for_nothing_are_accepted_without_a_word() -> None:
    found = wish(WEBUIAPI_DEFAULTS)
    assert found.notes == ()
    assert (found.steps, found.guidance_scale, found.seed) == (20, 7.0, None)


def test_null_is_the_same_as_absent() -> None:
    assert wish(dict.fromkeys((*WEBUIAPI_DEFAULTS, "sampler_name", "odd"))) == wish({})


def test_numbers_in_texts_are_numbers_as_in_a1111() -> None:
    found = wish({"steps": "3", "cfg_scale": "2", "seed": "5", "enable_hr": "false"})
    assert (found.steps, found.guidance_scale, found.seed) == (3, 2.0, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"sampler_name": "DPM++ 2M"},
        {"sampler_name": "dpm++ 2m", "scheduler": "automatic"},
        {"sampler_index": "DPM++ 2M", "scheduler": "SGM Uniform"},
        {"sampler_name": "DPM++ 2M", "scheduler": "sgm_uniform"},
        {"sampler_name": "DPM++ 2M SGM Uniform"},
        {"sampler_name": "", "scheduler": "Automatic"},
        {"sampler_name": None, "sampler_index": ""},
    ],
)
def test_the_models_own_sampler_is_taken_without_a_word(fields: dict[str, str]) -> None:
    assert wish(fields).notes == ()


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"sampler_name": "Euler a", "scheduler": "automatic"}, "Euler a automatic"),
        ({"sampler_name": "DPM++ 2M Karras"}, "DPM++ 2M Karras"),
        ({"sampler_name": "DPM++ 2M", "scheduler": "Karras"}, "DPM++ 2M Karras"),
        ({"scheduler": "karras"}, "karras"),
        ({"sampler_index": "Euler"}, "Euler"),
        ({"sampler_name": "nobody's"}, "nobody's"),
    ],
)
def test_another_sampler_is_taken_and_said(fields: dict[str, str], asked: str) -> None:
    assert wish(fields).notes == (
        f"sampler DPM++ 2M SGM Uniform instead of {asked}: the model has no other",
    )


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"enable_hr": True}, "enable_hr"),
        ({"script_name": "x/y plot"}, "x/y plot"),
        ({"alwayson_scripts": {"controlnet": {"args": []}}}, "controlnet"),
        ({"infotext": "a cat\nSteps: 1, Seed: 2, Size: 8x8"}, "infotext"),
    ],
)
def test_what_would_make_another_picture_altogether_is_refused(
    fields: dict[str, Any], word: str
) -> None:
    with pytest.raises(FaultError, match=word) as refusal:
        wish(fields)
    assert (refusal.value.fault.status, refusal.value.fault.code) == (422, "not_offered")


@pytest.mark.parametrize(
    "fields",
    [
        {"restore_faces": True},
        {"tiling": True},
        {"styles": ["cinematic"]},
        {"save_images": True},
        {"clip_skip": 2},
        {"subseed_strength": 0.5},
        {"seed_resize_from_h": 512},
        {"eta": 0.3},
        {"refiner_checkpoint": "sdxl"},
    ],
)
def test_what_would_have_changed_the_picture_is_said(fields: dict[str, Any]) -> None:
    (name,) = fields
    assert wish(fields).notes == (f"not offered, and ignored: {name}",)


def test_overridden_settings_are_read() -> None:
    overrides = {
        "sd_model_checkpoint": "v1-5.safetensors [6ce0161689]",
        "CLIP_stop_at_last_layers": 2,
        "sd_vae": "Automatic",
        "img2img_color_correction": False,
    }
    assert wish({"override_settings": overrides}).notes == (
        "drawn by sd14 [0123456789] instead of v1-5.safetensors [6ce0161689]: no other model is "
        "served",
        "not offered, and ignored: override_settings.CLIP_stop_at_last_layers",
    )


@pytest.mark.parametrize(
    "name", ["sd14 [0123456789]", "sd14", "0123456789", "stable-diffusion", "", None]
)
def test_the_models_own_names_are_known(name: str | None) -> None:
    assert wish({"override_settings": {"sd_model_checkpoint": name}}).notes == ()


def test_unknown_fields_are_named_and_never_their_values() -> None:
    found = wish({"auth": "user:secret", "prompt_prefix": "", "ü": 1})
    assert found.notes == ("not understood: auth, ü",)


def test_a_thousand_unknown_fields_give_one_short_note() -> None:
    (note,) = wish({f"field_{'x' * 500}_{n}": 1 for n in range(1000)}).notes
    assert len(note) < 600


def test_prompt_syntax_is_removed_and_said_once_for_both_prompts() -> None:
    found = wish({"prompt": r"a (red:1.3) \(x\)", "negative_prompt": "[blurred]"})
    assert (found.prompt, found.negative_prompt) == ("a red (x)", "blurred")
    assert len(found.notes) == 1


def test_credentials_in_unknown_fields_are_not_echoed() -> None:
    asked = TextToImage.model_validate({"prompt": "a", "auth": "secret", "tiling": True})
    assert asked.echo() == {"prompt": "a", "tiling": True}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["-1", "1", "true", "None", "Automatic", "DPM++ 2M", "(a:1.2) [b:c:0.5]"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.sampled_from(
    sorted({*TextToImage.model_fields, *WEBUIAPI_DEFAULTS, *IDLE_VALUES, *IDLE_FIELDS})
)


@given(st.dictionaries(names | st.text(max_size=10), json_values, max_size=8))
def test_any_json_is_drawn_or_refused_with_a_reason(fields: dict[str, Any]) -> None:
    try:
        found = TextToImage.model_validate_json(json.dumps(fields)).wish(MODEL, "")
        asked = asked_for(found, Served(Limits()), Costs(max_count=10, max_cost=10**9))
    except (ValidationError, FaultError, RefusedError):
        return
    assert 1 <= len(asked.requests) <= 10
    assert all("\n" not in note and len(note) < 1000 for note in asked.notes)


def test_every_refusal_of_a_value_names_its_field() -> None:
    for name, value in (("steps", "x"), ("alwayson_scripts", [1]), ("override_settings", 1)):
        with pytest.raises(ValidationError) as refusal:
            TextToImage.model_validate({name: value})
        fault = errors.invalid(refusal.value).fault
        assert fault.status == 422
        assert fault.message.startswith(f"{name}: ")
