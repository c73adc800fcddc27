"""Infotext as A1111 writes and reads it, and the exact request beside it."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from client.pictures import picture as client_pictures
from prediction import png, recipe
from prediction.answer import Answer
from prediction.description import ModelDescription, Served
from prediction.limits import Limits, PictureRequest
from web.jobs.job import Drawn
from web.pictures import infotext, syntax

FINGERPRINT = "0123456789abcdef-fast"


def image_file(width: int = 16, height: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


FILE = image_file()


def drawn(
    prompt: str = "a red circle",
    negative_prompt: str = "",
    *,
    guidance_scale: float = 7.5,
    seed: int = 7,
    is_complete: bool = True,
) -> Drawn:
    request = PictureRequest(prompt, negative_prompt, 20, guidance_scale, seed)
    answer = Answer(FILE, seed, 20, 5, False, FINGERPRINT)
    return Drawn(answer, request, 1.0, is_complete)


def served(sampler: str = "dpmpp_2m_trailing") -> Served:
    limits = Limits()
    return Served(
        limits,
        ModelDescription("sd14", FINGERPRINT, "fast", "float32", (sampler,), "some", limits),
    )


def test_the_layout_is_a1111s() -> None:
    assert infotext.write(drawn("a red circle", "blurred, grey"), served()) == (
        "a red circle\n"
        "Negative prompt: blurred, grey\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: SGM Uniform, CFG scale: 7.5, Seed: 7, "
        "Size: 16x8, Model hash: 0123456789, Model: sd14, RNG: TensorFlow, "
        "Fingerprint: 0123456789abcdef-fast, Profile: fast, Version: diffusion-serving 1.0.0"
    )


def test_an_empty_negative_prompt_has_no_line_and_a_whole_scale_no_point() -> None:
    text = infotext.write(drawn(guidance_scale=7.0), served())
    assert text.startswith("a red circle\nSteps: 20, ")
    assert ", CFG scale: 7, " in text


def test_the_noise_is_not_said_to_be_one_of_a1111s_generators() -> None:
    parameters = infotext.read(infotext.write(drawn(), served())).parameters
    assert parameters["RNG"] not in ("GPU", "CPU", "NV")


def test_a_picture_that_was_stopped_early_says_so() -> None:
    text = infotext.write(drawn(is_complete=False), served())
    assert infotext.read(text).parameters["Interrupted"] == "yes"


def test_a_model_that_does_not_say_what_it_is_gives_an_infotext_without_sampler() -> None:
    parameters = infotext.read(infotext.write(drawn(), Served(Limits()))).parameters
    assert "Sampler" not in parameters
    assert "Model" not in parameters
    assert parameters["Seed"] == "7"


def test_a_sampler_without_a_name_in_a1111_keeps_its_own() -> None:
    parameters = infotext.read(infotext.write(drawn(), served("lcm_fast"))).parameters
    assert parameters["Sampler"] == "lcm_fast"


# Lines that A1111's format cannot hold: outer blanks, a negative prompt's own mark, and what
# splits lines elsewhere.
lines = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=40).map(
    str.strip
)
prompts = (
    st.lists(lines, min_size=1, max_size=4)
    .map("\n".join)
    .filter(lambda text: text == text.strip())
    .filter(lambda text: not any(line.startswith("Negative prompt:") for line in text.split("\n")))
)


@given(prompts, prompts, st.floats(1, 30), st.integers(0, 2147483645))
def test_what_is_written_is_read_back(
    prompt: str, negative_prompt: str, guidance_scale: float, seed: int
) -> None:
    picture = drawn(prompt, negative_prompt, guidance_scale=guidance_scale, seed=seed)
    found = infotext.read(infotext.write(picture, served()))
    assert found.prompt == syntax.escaped(prompt)
    assert found.negative_prompt == syntax.escaped(negative_prompt)
    assert float(found.parameters["CFG scale"]) == pytest.approx(guidance_scale, rel=1e-14)
    assert found.parameters["Seed"] == str(seed)
    assert (found.parameters["Size-1"], found.parameters["Size-2"]) == ("16", "8")


def marked_differently(text: str) -> bool:
    """Whether the text has marks for which A1111 knows no escape."""
    return any(mark in text for mark in ("#", "<", "BREAK"))


@given(prompts.filter(lambda text: not marked_differently(text)))
def test_an_infotexts_prompt_posted_again_asks_for_the_same_picture(prompt: str) -> None:
    found = infotext.read(infotext.write(drawn(prompt), served()))
    assert syntax.plain(found.prompt).text == prompt


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9 \-/]{1,12}[a-z]", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_characters='\r\n\\"'), min_size=1)
        .map(str.strip)
        .filter(bool),
        min_size=3,
        max_size=6,
    )
)
def test_values_with_commas_and_colons_are_quoted_and_read_back(values: dict[str, str]) -> None:
    keys_alone = {key for key, value in values.items() if key == value}
    text = infotext.compose("a cat", "", {k: v for k, v in values.items() if k not in keys_alone})
    if len(values) - len(keys_alone) < 3:
        return
    found = infotext.read(text)
    for key, value in values.items():
        if key in keys_alone:
            continue
        if infotext.SIZE.fullmatch(value):
            assert f"{key}-1" in found.parameters
        else:
            assert found.parameters[key] == value


def test_none_is_left_out_and_a_key_equal_to_its_value_stands_alone() -> None:
    text = infotext.compose("a", "", {"Steps": 1, "Tiling": None, "Refiner": "Refiner"})
    assert text == "a\nSteps: 1, Refiner"


def test_a_quoted_value_keeps_letters_beyond_ascii() -> None:
    assert infotext.compose("a", "", {"Lora hashes": "größe: 1"}) == 'a\nLora hashes: "größe: 1"'


def test_a_last_line_of_fewer_than_three_pairs_belongs_to_the_prompt() -> None:
    found = infotext.read("a cat\nSteps: 20, Seed: 1")
    assert found.prompt == "a cat\nSteps: 20, Seed: 1"
    assert found.parameters == {}


def test_a_prompt_line_that_looks_like_parameters_stays_in_the_prompt() -> None:
    prompt = "a cat\nSteps: 1, Sampler: x, Seed: 2"
    found = infotext.read(infotext.write(drawn(prompt), served()))
    assert found.prompt == prompt
    assert found.parameters["Steps"] == "20"


def test_a_later_negative_line_ends_the_prompt_and_others_follow_it() -> None:
    found = infotext.read("one\ntwo\nNegative prompt: three\nfour\nSteps: 1, Seed: 2, Size: 8x8")
    assert (found.prompt, found.negative_prompt) == ("one\ntwo", "three\nfour")


def test_a1111s_own_infotext_is_read() -> None:
    found = infotext.read(
        "masterpiece, (cat:1.2)\nNegative prompt: bad\n"
        "Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1234, Size: 512x768, "
        'Model hash: 6ce0161689, Model: v1-5, Lora hashes: "x: 1a2b, y: 3c4d", Version: v1.10.1'
    )
    assert found.parameters == {
        "Steps": "25",
        "Sampler": "DPM++ 2M Karras",
        "CFG scale": "7",
        "Seed": "1234",
        "Size-1": "512",
        "Size-2": "768",
        "Model hash": "6ce0161689",
        "Model": "v1-5",
        "Lora hashes": "x: 1a2b, y: 3c4d",
        "Version": "v1.10.1",
    }


@pytest.mark.parametrize("text", ["", " \n ", 'a\nAb: "x, Cd: , Ef: 1, Gh: 2', "Ab:,Cd:,Ef:"])
def test_damaged_infotext_is_read_as_far_as_it_goes(text: str) -> None:
    infotext.read(text)


@pytest.mark.parametrize("mark", ["x", " ", "ab:", 'ab:"', 'ab:"\\"', "ab, ", "\n", "9x9,"])
def test_a_megabyte_of_any_mark_is_read_in_a_moment(mark: str) -> None:
    for size in (65_000, 1_000_000):
        start = time.thread_time()
        infotext.read("a" + mark * (size // len(mark)) + "!")
        assert time.thread_time() - start < 2


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    infotext.read(text)


def test_latin_1_goes_into_text_and_other_letters_into_itxt() -> None:
    for prompt, kind in (("ein großer Kreis", b"tEXt"), ("ein Stern ☆", b"iTXt")):
        file = png.with_text(FILE, infotext.chunks(drawn(prompt), served()))
        assert file[37:41] == kind
        with Image.open(io.BytesIO(file)) as image:
            assert image.info["parameters"] == infotext.write(drawn(prompt), served())


def test_the_command_line_reads_the_services_file(tmp_path: Path) -> None:
    picture = drawn(" outer blanks \nNegative prompt: [a:b:0.5] ☆", "(x)", guidance_scale=1.1)
    path = tmp_path / "a.png"
    path.write_bytes(png.with_text(FILE, infotext.chunks(picture, served())))
    saved = client_pictures.read(path)
    assert saved.request == picture.request
    assert saved.fingerprint == FINGERPRINT


def test_the_exact_request_stands_beside_the_infotext() -> None:
    text = infotext.chunks(drawn(is_complete=False), served())
    found = recipe.read(text)
    assert found == recipe.Recipe(drawn().request, FINGERPRINT, is_complete=False)
    assert '"profile": "fast"' in text[recipe.KEYWORD]
