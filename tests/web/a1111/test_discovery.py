"""What clients ask before they draw."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from PIL import Image

from prediction import png
from tests.web.a1111.front import Front, info_of
from web.a1111 import discovery

EMPTY_LISTS = (
    *("extensions", "face-restorers", "hypernetworks", "latent-upscale-modes", "loras"),
    *("prompt-styles", "realesrgan-models", "script-info", "sd-modules", "sd-vae"),
)
TITLE = "stub [stub-1]"


def test_lists_of_what_there_is_not_are_empty_and_not_missing(front: Front) -> None:
    for name in EMPTY_LISTS:
        assert front.get(f"/sdapi/v1/{name}") == []


def test_objects_are_objects(front: Front) -> None:
    assert front.get("/sdapi/v1/embeddings") == {"loaded": {}, "skipped": {}}
    assert front.get("/sdapi/v1/scripts") == {"txt2img": [], "img2img": []}
    assert set(front.get("/sdapi/v1/memory")) == {"ram", "cuda"}


def test_command_line_flags_give_nothing_away(front: Front) -> None:
    assert front.get("/sdapi/v1/cmd-flags") == {}


def test_the_one_model_sampler_and_schedule_are_listed(front: Front) -> None:
    (model,) = front.get("/sdapi/v1/sd-models")
    assert set(model) == {"title", "model_name", "hash", "sha256", "filename", "config"}
    assert (model["title"], model["model_name"], model["hash"]) == (TITLE, "stub", "stub-1")
    (sampler,) = front.get("/sdapi/v1/samplers")
    assert sampler == {"name": "DDIM", "aliases": [], "options": {}}
    schedulers = front.get("/sdapi/v1/schedulers")
    assert [scheduler["label"] for scheduler in schedulers] == ["Automatic", "Uniform"]
    (upscaler,) = front.get("/sdapi/v1/upscalers")
    assert (upscaler["name"], upscaler["scale"]) == ("None", 1)


def test_every_name_that_is_listed_is_drawn_without_a_word(front: Front) -> None:
    sampler = (front.get("/sdapi/v1/samplers"))[0]["name"]
    for scheduler in front.get("/sdapi/v1/schedulers"):
        for name in (scheduler["name"], scheduler["label"]):
            answer = front.draw(
                sampler_name=sampler,
                scheduler=name,
                override_settings=front.get("/sdapi/v1/options"),
            )
            assert answer["notes"] == []
            assert info_of(answer)["sd_model_name"] == "stub"


def test_options_make_the_round_trip(front: Front) -> None:
    options = front.get("/sdapi/v1/options")
    assert options["sd_model_checkpoint"] == TITLE
    answer = front.post("/sdapi/v1/options", options)
    assert (answer.status_code, answer.json()) == (200, None)
    assert "x-notes" not in answer.headers
    assert front.get("/sdapi/v1/options") == options


def test_options_that_cannot_be_changed_are_said(front: Front) -> None:
    wanted = {"samples_format": "jpg", "CLIP_stop_at_last_layers": 1, "no_such": 1}
    answer = front.post("/sdapi/v1/options", wanted)
    assert (answer.status_code, answer.json()) == (200, None)
    assert answer.headers["x-notes"] == "cannot be changed: samples_format, no_such"


def test_another_checkpoint_is_refused_and_the_models_own_names_are_not(
    front: Front,
) -> None:
    for name in (TITLE, "stub", "stub-1", "stable-diffusion", None):
        answer = front.post("/sdapi/v1/options", {"sd_model_checkpoint": name})
        assert answer.status_code == 200
    answer = front.post("/sdapi/v1/options", {"sd_model_checkpoint": "sdxl"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"sd_model_checkpoint: sdxl is not here, only {TITLE}"
    for body in ([], "x", None):
        assert (front.post("/sdapi/v1/options", body)).status_code == 422


def test_refreshing_and_reloading_do_nothing_and_succeed(front: Front) -> None:
    for name in discovery.WITHOUT_EFFECT:
        answer = front.post(f"/sdapi/v1/{name}")
        assert (answer.status_code, answer.json() or None) == (200, None)


def test_what_is_not_offered_says_so_in_a1111s_shape(front: Front) -> None:
    for name in ("img2img", "extra-single-image", "extra-batch-images", "interrogate"):
        answer = front.post(f"/sdapi/v1/{name}", {"image": "http://127.0.0.1:1/"})
        assert answer.status_code == 422
        assert answer.json()["error"] == "not_offered"
        assert answer.json()["detail"].startswith(f"{name} is not offered: ")


def test_the_server_cannot_be_stopped_or_trained_from_outside(front: Front) -> None:
    for name in ("server-kill", "server-restart", "server-stop", "train/embedding", "create/x"):
        answer = front.post(f"/sdapi/v1/{name}")
        assert answer.status_code == 404
        assert set(answer.json()) == {"error", "detail", "body", "errors"}


def test_gradios_queue_answers_the_connection_probe(front: Front) -> None:
    assert (front.get("/queue/status"))["queue_size"] == 0


def test_forms_and_plain_text_are_refused(front: Front) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = front.client.post(
            "/sdapi/v1/txt2img", content=b'{"prompt": "a"}', headers={"content-type": kind}
        )
        assert answer.status_code == 415
        assert answer.json()["error"] == "unsupported_media_type"


def test_clients_start_before_a_model_server_was_seen(own_front: Front) -> None:
    own_front.service.models.servers[0].served = None
    (model,) = own_front.get("/sdapi/v1/sd-models")
    assert (model["title"], model["hash"]) == ("stable-diffusion", None)
    assert own_front.get("/sdapi/v1/samplers") == []
    assert len(own_front.get("/sdapi/v1/schedulers")) == 1
    for name in (*discovery.CONSTANT, "options", "progress"):
        own_front.get(f"/sdapi/v1/{name}")


def png_info(front: Front, image: Any) -> Any:
    answer = front.post("/sdapi/v1/png-info", {"image": image})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_pictures_own_text_is_read_back(front: Front) -> None:
    answer = front.draw(seed=7, negative_prompt="blue", steps=3)
    (image,) = answer["images"]
    for sent in (image, f"data:image/png;base64,{image}"):
        found = png_info(front, sent)
        assert found["info"] == info_of(answer)["infotexts"][0]
        assert json.loads(found["items"]["diffusion-serving"])["prompt"] == "a red circle"
        parameters = found["parameters"]
        assert parameters["Prompt"] == "a red circle"
        assert parameters["Negative prompt"] == "blue"
        assert (parameters["Steps"], parameters["Seed"]) == ("3", "7")
        assert (parameters["Size-1"], parameters["Size-2"]) == ("64", "64")
        assert parameters["Clip skip"] == "1"


def file_of(file_format: str, **options: Any) -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, file_format, **options)
    return base64.b64encode(file.getvalue()).decode()


def test_a_picture_without_text_has_none(front: Front) -> None:
    for file_format in ("PNG", "JPEG", "WEBP"):
        found = png_info(front, file_of(file_format))
        assert (found["info"], found["parameters"]) == ("", {})


def test_infotext_in_a_jpegs_comment_is_read(front: Front) -> None:
    exif = Image.Exif()
    exif.endian = ">"
    text = "a ☆\nSteps: 1, Seed: 2, Size: 8x8"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    for file_format in ("JPEG", "WEBP"):
        found = png_info(front, file_of(file_format, exif=exif))
        assert found["info"] == text
        assert found["parameters"]["Prompt"] == "a ☆"


def test_what_is_no_picture_is_refused_and_no_address_is_fetched(front: Front) -> None:
    picture = base64.b64decode(file_of("PNG"))
    bomb = png.with_text(picture, {"parameters": "x" * 2_000_000})
    for image, words in (
        ("http://127.0.0.1:1/a.png", "not fetched"),
        ("file:///etc/passwd", "not base64"),
        ("data:image/png;base64,???", "not base64"),
        ("", "not a file of PNG"),
        (base64.b64encode(b"GIF89a" + bytes(40)).decode(), "not a file of PNG"),
        (base64.b64encode(bomb).decode(), "too much text"),
        (base64.b64encode(picture[:40]).decode(), ""),
        (7, "image"),
    ):
        answer = front.post("/sdapi/v1/png-info", {"image": image})
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
