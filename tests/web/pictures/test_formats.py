import asyncio
import base64
import io
import threading
from dataclasses import replace

import pytest
from PIL import ExifTags, Image

from prediction import png
from prediction.answer import Answer
from prediction.description import Served
from prediction.limits import Limits, PictureRequest
from web.jobs.job import Drawn
from web.pictures import formats, infotext
from web.pictures.formats import Format

SIZE = (64, 64)


def drawn(prompt: str = "a red circle on white") -> Drawn:
    """A red square on white: edges of colour, as the demo model draws them."""
    image = Image.new("RGB", SIZE, "white")
    image.paste("red", (16, 16, 48, 48))
    file = io.BytesIO()
    image.save(file, "PNG")
    request = PictureRequest(prompt, "blurry", 20, 7.5, 7)
    return Drawn(Answer(file.getvalue(), 7, 20, 6, False, "f00d"), request, 0.1)


SERVED = Served(Limits(image_size=64))


def opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file))


def comment_in(file: bytes) -> str:
    comment = opened(file).getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment.startswith(b"UNICODE\0")
    return comment.removeprefix(b"UNICODE\0").decode("utf-16-be")


@pytest.mark.parametrize("file_format", Format)
def test_a_picture_has_the_format_that_was_asked_for(file_format: Format) -> None:
    image = opened(formats.file_of(drawn(), SERVED, file_format))
    assert image.format == file_format.name
    assert image.size == SIZE
    assert Image.MIME[image.format or ""] == file_format.media_type


def test_a_png_keeps_the_model_servers_own_pixels_and_says_how_it_was_made() -> None:
    picture = drawn()
    file = formats.file_of(picture, SERVED)
    assert png.same_pixels(file, picture.answer.png)
    assert opened(file).info[infotext.PNG_KEYWORD] == infotext.write(picture, SERVED)


@pytest.mark.parametrize("file_format", [Format.JPEG, Format.WEBP])
@pytest.mark.parametrize("prompt", ["a red circle", "ein größerer Kreis ☃ 🟥\nzwei Zeilen", ""])
def test_jpeg_and_webp_keep_the_infotext_in_exif(file_format: Format, prompt: str) -> None:
    picture = drawn(prompt)
    file = formats.file_of(picture, SERVED, file_format)
    assert comment_in(file) == infotext.write(picture, SERVED)


@pytest.mark.parametrize("file_format", [Format.JPEG, Format.WEBP])
@pytest.mark.parametrize("letter", ["a", "é", "語", "🟥"])
def test_the_longest_prompts_fit_into_exif(file_format: Format, letter: str) -> None:
    longest = letter * (Limits().max_prompt_bytes // len(letter.encode()))
    picture = drawn(longest)
    picture = replace(picture, request=replace(picture.request, negative_prompt=longest))
    file = formats.file_of(picture, SERVED, file_format)
    assert comment_in(file) == infotext.write(picture, SERVED)


@pytest.mark.parametrize("file_format", [Format.JPEG, Format.WEBP])
def test_an_infotext_that_does_not_fit_into_exif_costs_no_picture(file_format: Format) -> None:
    brackets = "(" * Limits().max_prompt_bytes  # each is escaped
    picture = drawn(brackets)
    picture = replace(picture, request=replace(picture.request, negative_prompt=brackets))
    image = opened(formats.file_of(picture, SERVED, file_format))
    assert (image.format, image.size) == (file_format.name, SIZE)


@pytest.mark.parametrize("file_format", [Format.JPEG, Format.WEBP])
def test_lower_quality_makes_smaller_files(file_format: Format) -> None:
    picture = drawn()
    noisy = Image.effect_noise(SIZE, 80).convert("RGB")
    file = io.BytesIO()
    noisy.save(file, "PNG")
    picture = replace(picture, answer=replace(picture.answer, png=file.getvalue()))
    sizes = [len(formats.file_of(picture, SERVED, file_format, q)) for q in (0, 50, 100)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("file_format", [Format.JPEG, Format.WEBP])
def test_coloured_edges_stay_sharp(file_format: Format) -> None:
    image = opened(formats.file_of(drawn(), SERVED, file_format)).convert("RGB")
    inside, outside = image.getpixel((17, 32)), image.getpixel((14, 32))
    assert isinstance(inside, tuple) and isinstance(outside, tuple)
    assert inside[0] > 230 and inside[1] < 40
    assert min(outside) > 215


@pytest.mark.parametrize("file_format", Format)
def test_encoding_in_the_background_gives_the_same_file(file_format: Format) -> None:
    picture = drawn()
    file = asyncio.run(formats.file_in_background(picture, SERVED, file_format, 60))
    assert file == formats.file_of(picture, SERVED, file_format, 60)


@pytest.mark.parametrize("file_format", [Format.JPEG, Format.WEBP])
def test_encoding_leaves_the_event_loop_free(
    file_format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders: list[threading.Thread] = []

    def file_of(*_: object) -> bytes:
        encoders.append(threading.current_thread())
        return b""

    monkeypatch.setattr(formats, "file_of", file_of)
    asyncio.run(formats.file_in_background(drawn(), SERVED, file_format))
    assert encoders and threading.current_thread() not in encoders


@pytest.mark.parametrize("file_format", Format)
def test_a_preview_is_enlarged_to_the_pictures_size_and_format(file_format: Format) -> None:
    small = io.BytesIO()
    Image.new("RGB", (8, 8), "blue").save(small, "PNG")
    image = opened(formats.enlarged(small.getvalue(), SIZE, file_format))
    assert (image.format, image.size) == (file_format.name, SIZE)
    pixel = image.convert("RGB").getpixel((32, 32))
    assert isinstance(pixel, tuple) and pixel[2] > 240 and max(pixel[:2]) < 15


def test_a_data_uri_holds_the_file() -> None:
    address = formats.data_uri(b"\xff\xd8", Format.JPEG)
    head, _, content = address.partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(content) == b"\xff\xd8"


@pytest.mark.parametrize(
    ("text", "size"),
    [("512x512", (512, 512)), ("1x2", (1, 2)), (" 768X512 ", (768, 512)), ("8×9", (8, 9))],
)
def test_a_size_is_width_times_height(text: str, size: tuple[int, int]) -> None:
    assert formats.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "512", "512x", "x512", "0x512", "-1x2", "512x512x3", "5e2x5", "1.5x2"),
        *("٣x٣", "99999999x1", "512 512", "512x512\nX"),
    ],
)
def test_what_is_no_size_is_none(text: str) -> None:
    assert formats.parse_size(text) is None
