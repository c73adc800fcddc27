import json
from typing import Any

import pytest
from pydantic import ValidationError

from web.faults import FaultError
from web.jobs.wishes import Wish
from web.openai.errors import invalid
from web.openai.image_request import ImageRequest
from web.options import Options
from web.pictures.formats import Format

OPTIONS = Options(("127.0.0.1:8500",), max_count=10)
MODEL = OPTIONS.model_name


def request(**fields: Any) -> ImageRequest:
    return ImageRequest.model_validate_json(json.dumps({"prompt": "a red circle", **fields}))


def wish(**fields: Any) -> Wish:
    return request(**fields).wish(OPTIONS, "", None)


def refusal(body: str) -> dict[str, Any]:
    """The OpenAI error for a body that cannot be read."""
    with pytest.raises(ValidationError) as caught:
        ImageRequest.model_validate_json(body)
    fault = invalid(caught.value).fault
    assert fault.status == 400
    return {"message": fault.message, "param": fault.param, "code": fault.code}


def test_absent_fields_are_left_to_the_model() -> None:
    asked = wish()
    assert (asked.prompt, asked.count, asked.notes) == ("a red circle", 1, ())
    for name in ("steps", "guidance_scale", "negative_prompt", "seed", "width", "height"):
        assert getattr(asked, name) is None


def test_null_is_as_good_as_absent() -> None:
    names = [*ImageRequest.model_fields, "quality", "style", "user", "unheard_of"]
    assert wish(**dict.fromkeys(set(names) - {"prompt"})) == wish()


@pytest.mark.parametrize("steps", ["steps", "num_inference_steps"])
@pytest.mark.parametrize("scale", ["guidance_scale", "cfg_scale"])
def test_the_fields_that_people_send_beside_openais_are_read(steps: str, scale: str) -> None:
    extra = {steps: 12, scale: 3.5, "seed": 7, "negative_prompt": "blurry"}
    asked = wish(**extra)
    assert (asked.steps, asked.guidance_scale, asked.seed) == (12, 3.5, 7)
    assert asked.negative_prompt == "blurry"
    assert asked.notes == ()


def test_of_two_names_for_one_field_the_second_is_noted() -> None:
    asked = wish(steps=3, num_inference_steps=4)
    assert asked.steps == 3
    assert asked.notes == ("not understood: num_inference_steps",)


@pytest.mark.parametrize(
    ("size", "expected"), [(None, (None, None)), ("auto", (None, None)), ("640x480", (640, 480))]
)
def test_size_is_auto_or_width_times_height(
    size: str | None, expected: tuple[int | None, int | None]
) -> None:
    asked = wish(size=size)
    assert (asked.width, asked.height) == expected


@pytest.mark.parametrize("size", ["large", "0x64", "64", "", "1e3x64"])
def test_another_size_is_refused_by_name(size: str) -> None:
    with pytest.raises(FaultError) as caught:
        wish(size=size)
    assert caught.value.fault.status == 400
    assert caught.value.fault.param == "size"


def test_too_many_pictures_are_refused_by_name() -> None:
    assert wish(n=10).count == 10
    with pytest.raises(FaultError, match="from 1 to 10, not 11") as caught:
        wish(n=11)
    assert (caught.value.fault.status, caught.value.fault.param) == (400, "n")


def test_strict_size_is_passed_on() -> None:
    assert wish(strictSize=True).strict_size
    assert not wish(strictSize=False).strict_size


def test_seed_minus_one_is_a_drawn_seed() -> None:
    assert wish(seed=-1).seed is None


def test_prompts_are_plain_text_without_a1111s_syntax() -> None:
    text = "a (red:1.3) circle [in:out:0.5] <lora:x:1> BREAK # not a comment"
    asked = wish(prompt=text)
    assert (asked.prompt, asked.notes) == (text, ())


@pytest.mark.parametrize("name", [None, MODEL])
def test_the_models_own_name_needs_no_note(name: str | None) -> None:
    assert wish(model=name, strictModel=True).notes == ()


def test_any_other_model_is_served_by_the_one_and_noted() -> None:
    assert wish(model="gpt-image-1").notes == (f"model gpt-image-1 is served by {MODEL}",)


def test_with_strict_model_another_model_is_not_found() -> None:
    with pytest.raises(FaultError) as caught:
        wish(model="gpt-image-1", strictModel=True)
    fault = caught.value.fault
    assert (fault.status, fault.code, fault.param) == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("quality", "hd"), ("style", "vivid"), ("background", "transparent")),
        *(("moderation", "low"), ("user", "me"), ("safety_identifier", "me")),
        *(("quality", 3), ("style", {"deep": []})),
    ],
)
def test_fields_without_effect_are_accepted_and_noted(field: str, value: object) -> None:
    (note,) = wish(**{field: value}).notes
    assert note.startswith(f"{field} is ignored: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quality", "auto"),
        ("quality", "standard"),
        ("background", "opaque"),
        ("moderation", "auto"),
    ],
)
def test_values_that_ask_for_nothing_need_no_note(field: str, value: str) -> None:
    assert wish(**{field: value}).notes == ()


def test_compression_of_a_png_is_noted() -> None:
    assert wish(output_compression=50).notes == (
        "output_compression is ignored: PNG loses nothing",
    )
    assert wish(output_compression=50, output_format="jpeg").notes == ()


def test_partial_images_without_a_stream_are_noted() -> None:
    assert wish(partial_images=2).notes == ("partial_images is ignored: it needs stream",)
    assert wish(partial_images=2, stream=True).notes == ()


def test_unknown_fields_are_named_in_one_short_line() -> None:
    assert wish(scheduler="karras", foo=1).notes == ("not understood: scheduler, foo",)
    names = ["x" * 9000, "line\nbreak", *(f"field{number}" for number in range(5000))]
    (note,) = wish(**dict.fromkeys(names, 1)).notes
    assert len(note) < 500
    assert note.isprintable()


def test_files_are_png_of_full_quality_by_default() -> None:
    assert (request().file_format, request().quality) == (Format.PNG, 100)
    asked = request(output_format="webp", output_compression=0)
    assert (asked.file_format, asked.quality) == (Format.WEBP, 0)


@pytest.mark.parametrize(
    ("model", "response_format", "base64", "url"),
    [
        (None, None, True, True),
        ("dall-e-3", None, True, True),
        (MODEL, None, True, True),
        ("gpt-image-1", None, True, False),
        ("chatgpt-image-latest", None, True, False),
        ("dall-e-2", "url", False, True),
        ("gpt-image-1", "url", False, True),
        ("dall-e-2", "b64_json", True, False),
        (None, "b64_json", True, False),
    ],
)
def test_a_wished_response_format_is_obeyed_and_otherwise_every_tool_finds_its_own(
    model: str | None, response_format: str | None, base64: bool, url: bool
) -> None:
    asked = request(model=model, response_format=response_format)
    assert (asked.gives_base64, asked.gives_url) == (base64, url)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": 3}, "prompt", "invalid_type"),
        ({"prompt": ["a", "b"]}, "prompt", "invalid_type"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 1.5}, "n", "invalid_type"),
        ({"n": "many"}, "n", "invalid_type"),
        ({"n": 10**400}, "n", "invalid_value"),
        ({"response_format": "png"}, "response_format", "invalid_value"),
        ({"output_format": "svg"}, "output_format", "invalid_value"),
        ({"output_compression": 101}, "output_compression", "invalid_value"),
        ({"partial_images": 4}, "partial_images", "invalid_value"),
        ({"stream": "maybe"}, "stream", "invalid_type"),
        ({"seed": "x"}, "seed", "invalid_type"),
        ({"steps": 0}, "steps", "invalid_value"),
        ({"guidance_scale": float("nan")}, "guidance_scale", "invalid_value"),
        ({"cfg_scale": float("inf")}, "cfg_scale", "invalid_value"),
        ({"size": {}}, "size", "invalid_type"),
    ],
)
def test_a_wrong_value_is_refused_by_the_fields_name(
    fields: dict[str, Any], param: str, code: str
) -> None:
    refused = refusal(json.dumps({"prompt": "x", **fields}))
    assert (refused["param"], refused["code"]) == (param, code)
    assert refused["message"].startswith(f"{param}: ")


def test_a_missing_prompt_is_asked_for() -> None:
    refused = refusal("{}")
    assert (refused["param"], refused["code"]) == ("prompt", "missing_required_parameter")


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[]", "null", '"prompt"', "prompt=x", "\0", '{"prompt": "\\ud800"}'),
        *("[" * 100_000, '{"a":' * 100_000),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_in_one_line(body: str) -> None:
    refused = refusal(body)
    assert (refused["param"], refused["code"]) == (None, "invalid_json")
    assert refused["message"].isprintable() and len(refused["message"]) < 300
