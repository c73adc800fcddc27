"""What the page reads from pictures: the service's own, the command line's, and A1111's."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from prediction import png
from prediction.answer import Answer
from prediction.description import ModelDescription, Served
from prediction.limits import Limits, PictureRequest
from prediction.recipe import Recipe
from tests.web.page import node
from web.jobs.job import Drawn
from web.pictures import infotext, syntax
from web.pictures.formats import Format, file_of

READING = Path(__file__).with_name("reading.mjs")
FINGERPRINT = "0123456789abcdef-fast"
A1111 = (
    "masterpiece, (cat:1.2)\nNegative prompt: bad\n"
    "Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1234, Size: 512x768, "
    'Model hash: 6ce0161689, Model: v1-5, Lora hashes: "x: 1a2b, y: 3c4d", Version: v1.10.1'
)
PROMPTS = [
    "a red circle",
    "",
    " outer blanks \nNegative prompt: [a:b:0.5] ☆",
    "größe (with brackets) \\ [and] more",
    'quotes " and ], } in it, Steps: 1, Seed: 2, Size: 3x4',
    "👩‍👩‍👧‍👦 \u202e 漢字\tand\ttabs",
    "x" * 8000,
]


def image_file(file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 8)).save(file, file_format, **options)
    return file.getvalue()


FILE = image_file()


def drawn(request: PictureRequest, *, is_complete: bool = True) -> Drawn:
    answer = Answer(FILE, request.seed, request.num_steps, 5, False, FINGERPRINT)
    return Drawn(answer, request, 1.0, is_complete)


def served() -> Served:
    limits = Limits()
    samplers = ("dpmpp_2m_trailing",)
    return Served(
        limits, ModelDescription("sd14", FINGERPRINT, "fast", "float32", samplers, "some", limits)
    )


def request_for(prompt: str, seed: int = 7) -> PictureRequest:
    return PictureRequest(prompt, prompt[::-1][:50].strip(), 20, 7.5, seed)


def settings_of(request: PictureRequest) -> dict[str, Any]:
    return {
        "prompt": request.prompt,
        "negativePrompt": request.negative_prompt,
        "steps": request.num_steps,
        "guidanceScale": request.guidance_scale,
        "seed": request.seed,
    }


def read(*files: bytes) -> list[dict[str, Any]]:
    given_files = [base64.b64encode(file).decode() for file in files]
    return node.answer(READING, given={"files": given_files})["files"]


def test_the_services_png_gives_exactly_what_was_asked() -> None:
    requests = [request_for(prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    found = read(*(file_of(drawn(request), served()) for request in requests))
    for request, one in zip(requests, found, strict=True):
        assert one == {
            "settings": {"width": 16, "height": 8, **settings_of(request)},
            "notes": [],
            "fingerprint": FINGERPRINT,
        }


def test_the_services_jpeg_and_webp_give_it_too_as_far_as_infotext_can() -> None:
    request = request_for("größe (with brackets) \\ [and] 漢字\nin two lines")
    for one in read(
        *(file_of(drawn(request), served(), kind) for kind in (Format.JPEG, Format.WEBP))
    ):
        assert one["settings"] == {"width": 16, "height": 8, **settings_of(request)}
        assert one["notes"] == []


def test_the_command_lines_png_gives_exactly_what_was_asked() -> None:
    requests = [request_for(prompt) for prompt in PROMPTS]
    found = read(*(png.with_text(FILE, Recipe(each, FINGERPRINT).as_chunks()) for each in requests))
    assert [one["settings"] for one in found] == [settings_of(request) for request in requests]
    assert {one["fingerprint"] for one in found} == {FINGERPRINT}


def test_a_client_that_saves_the_services_picture_is_asked_first_as_by_the_command_line() -> None:
    asked = request_for("what it asked for")
    file = png.with_text(
        file_of(drawn(request_for("what the service noted")), served()),
        Recipe(asked, FINGERPRINT).as_chunks(),
    )
    assert read(file)[0]["settings"]["prompt"] == "what it asked for"


def test_a_picture_that_was_stopped_early_says_so() -> None:
    file = file_of(drawn(request_for("a"), is_complete=False), served())
    assert read(file)[0]["notes"] == ["It was stopped before its last step."]


@pytest.mark.parametrize("how", ["tEXt", "zTXt", "iTXt", "packed iTXt"])
def test_a1111s_png_gives_its_settings_and_says_what_is_not_used(how: str) -> None:
    texts = PngImagePlugin.PngInfo()
    if "iTXt" in how:
        texts.add_itxt("parameters", A1111, zip=how.startswith("packed"))
    else:
        texts.add_text("parameters", A1111, zip=how == "zTXt")
    (found,) = read(image_file(pnginfo=texts))
    assert found["settings"] == {
        "prompt": "masterpiece, cat",
        "negativePrompt": "bad",
        "steps": 25,
        "guidanceScale": 7,
        "seed": 1234,
        "width": 512,
        "height": 768,
    }
    assert found["notes"][0] == "Not used here: Sampler, Model, Lora hashes."


def exif(comment: bytes, endian: str = ">") -> Image.Exif:
    data = Image.Exif()
    data.endian = endian
    data.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return data


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + A1111.encode("utf-16-be"),
        b"UNICODE\0" + A1111.encode("utf-16-le"),
        b"ASCII\0\0\0" + A1111.encode(),
        bytes(8) + A1111.encode(),
    ],
    ids=["utf-16-be", "utf-16-le", "ascii", "undefined"],
)
def test_a1111s_jpeg_and_webp_are_read_however_the_comment_is_coded(
    file_format: str, endian: str, comment: bytes
) -> None:
    (found,) = read(image_file(file_format, exif=exif(comment, endian)))
    assert found["settings"]["seed"] == 1234


def test_a_picture_without_settings_and_a_file_that_is_none_are_refused_in_words() -> None:
    comfy = PngImagePlugin.PngInfo()
    comfy.add_text("prompt", '{"3": {"class_type": "KSampler"}}')
    swarm = PngImagePlugin.PngInfo()
    swarm.add_text("parameters", '{"sui_image_params": {"prompt": "a cat"}}')
    files = [FILE, image_file("JPEG"), image_file("WEBP")]
    files += [image_file(pnginfo=texts) for texts in (comfy, swarm)]
    for found in read(*files):
        assert found["error"].startswith("The picture does not say how it was made.")
    for found in read(b"", b"text", image_file("GIF"), b"\xff", b"RIFF"):
        assert found["error"].startswith("The file is no PNG, JPEG or WebP")


def recipe_json(**values: object) -> str:
    recipe = json.loads(Recipe(request_for("a"), FINGERPRINT).as_json())
    return json.dumps({**recipe, **values})


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "1", "{", '{"format": 1}', "[" * 100_000),
        recipe_json(format=2),
        recipe_json(steps="20"),
        recipe_json(seed=1.5),
        recipe_json(guidanceScale=float("inf")),
        recipe_json(prompt=["a"]),
        recipe_json(fingerprint=None),
    ],
    ids=lambda text: text[:70],
)
def test_a_damaged_recipe_is_passed_over_for_the_infotext(text: str) -> None:
    with_infotext = png.with_text(FILE, {"diffusion-serving": text, "parameters": A1111})
    found, error = read(with_infotext, png.with_text(FILE, {"diffusion-serving": text}))
    assert found["settings"]["seed"] == 1234
    assert "error" in error


def test_no_damage_to_a_file_breaks_the_page() -> None:
    sources = [
        file_of(drawn(request_for("a ☆")), served(), kind)
        for kind in (Format.PNG, Format.JPEG, Format.WEBP)
    ]
    damaged: list[bytes] = []
    for source in sources:
        damaged += [source[:size] for size in range(0, len(source), 7)]
        for position in range(0, min(len(source), 700), 3):
            damaged.append(source[:position] + b"\xff" + source[position + 1 :])
            damaged.append(source[:position] + b"\0" + source[position + 1 :])
    for found in read(*damaged):
        assert found.keys() in ({"error"}, {"settings", "notes", "fingerprint"})
        assert found.get("error", "The file").startswith(("The file", "The picture"))


def test_exif_that_points_back_to_itself_ends() -> None:
    # Its own folder of tags is its first one, which has thousands of entries by its own words.
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 0xFFFF, 0x8769, 4, 1, 8)
    (found,) = read(image_file("JPEG", exif=b"Exif\0\0" + tiff))
    assert "error" in found


lines = st.text(
    # What Python's strip and the page's trim see differently stands nowhere.
    st.characters(codec="utf-8", exclude_characters="\0\r\n\x1c\x1d\x1e\x1f\x85\ufeff"),
    max_size=40,
).map(str.strip)
prompts = st.lists(lines, min_size=1, max_size=3).map("\n".join)
marks = st.sampled_from(["(", ")", "[", "]", "\\", ":", "1.2", ":.5 )", "<lora:x:1>", "#", "\n"])
words = st.sampled_from(["a", "cat ", " BREAK ", "unBREAKable", "AND", " ", "é", "1"])
marked = st.lists(marks | words, max_size=12).map("".join)
requests = st.builds(
    PictureRequest, prompts, prompts, st.integers(1, 50), st.floats(1, 30), st.integers(0, 2**31)
)


def many(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Examples of `strategy`, the same in each run: Node.js reads them all at once."""
    seen: list[Any] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategy)
    def see(value: Any) -> None:
        seen.append(value)

    see()
    return seen


def test_any_request_comes_back_exactly_from_its_picture() -> None:
    drawn_requests = many(requests, 300)
    found = read(*(file_of(drawn(request), served()) for request in drawn_requests))
    for request, one in zip(drawn_requests, found, strict=True):
        assert one["settings"] == {"width": 16, "height": 8, **settings_of(request)}


def unescaped(prompt: str) -> str:
    return re.sub(r"\\([\\()\[\]])", r"\1", prompt)


def test_any_infotext_is_read_as_the_service_reads_it() -> None:
    texts = [infotext.write(drawn(request), served()) for request in many(requests, 300)]
    found = node.answer(READING, given={"texts": texts})["texts"]
    for text, one in zip(texts, found, strict=True):
        expected = infotext.read(text)
        assert one["settings"]["prompt"] == unescaped(expected.prompt)
        assert one["settings"]["negativePrompt"] == unescaped(expected.negative_prompt)
        assert str(one["settings"]["steps"]) == expected.parameters["Steps"]


def test_prompt_syntax_is_made_plain_as_the_a1111_api_makes_it() -> None:
    # [a:b:0.5], which the service keeps as it is written, the page takes for brackets.
    examples = [
        prompt for prompt in many(marked, 500) if syntax.SCHEDULE not in syntax.plain(prompt).notes
    ]
    assert len(examples) > 300
    found = node.answer(READING, given={"prompts": examples})["prompts"]
    assert found == [syntax.plain(prompt).text for prompt in examples]
