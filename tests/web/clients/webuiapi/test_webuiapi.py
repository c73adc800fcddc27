"""The package webuiapi, unchanged, against the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.clients.environments import Seen, python_client
from tests.web.clients.pictures import from_base64
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent

OBJECTS = ("cmd_flags", "embeddings", "memory", "options", "progress", "scripts")
"""The getters whose answers are objects; those of the others are lists."""


@pytest.fixture(scope="module")
def seen(service: WebProcess) -> Seen:
    return python_client(HERE, service.url)


def test_the_constructor_finds_no_extensions(seen: Seen) -> None:
    assert seen.returned("constructor") == [False, False, False]


def test_a_password_is_no_hindrance_as_long_as_there_are_no_keys(seen: Seen) -> None:
    assert seen.returned("constructor_with_a_password") == {"txt2img": [], "img2img": []}


def test_txt2img_with_its_forty_defaults_draws_a_picture(seen: Seen) -> None:
    drawn = seen.returned("txt2img_defaults")
    (image,) = drawn["images"]
    from_base64(image)
    info = drawn["info"]
    assert info["prompt"] == "a small red circle on white"
    assert (info["width"], info["height"]) == (64, 64)
    assert info["sampler_name"] == "DDIM"
    assert drawn["parameters"]["sampler_name"] == "Euler a"
    assert info["infotexts"] == [drawn["texts"][0]["parameters"]]


def test_txt2img_draws_batches_with_a_seed_for_each_picture(seen: Seen) -> None:
    drawn = seen.returned("txt2img_of_several")
    assert len(set(drawn["images"])) == 4
    assert drawn["info"]["all_seeds"] == [41, 42, 43, 44]
    assert drawn["info"]["negative_prompt"] == "blue"
    assert drawn["info"]["steps"] == 3


@pytest.mark.parametrize("call", ["txt2img_with_hires_fix", "txt2img_with_a_script", "img2img"])
def test_what_the_model_cannot_do_is_refused_with_the_reason(seen: Seen, call: str) -> None:
    error = seen.raised(call)
    status, text = error["args"]
    assert (error["class"], status) == ("RuntimeError", 422)
    assert "not offered" in text


def test_every_getter_answers_in_the_shape_of_the_original(seen: Seen) -> None:
    for name, value in seen.returned("getters").items():
        assert isinstance(value, dict if name in OBJECTS else list), name


def test_the_lists_name_the_model_and_its_sampler(seen: Seen) -> None:
    names = seen.returned("lists_of_names")
    assert names["models"] == [names["current"]]
    assert names["samplers"] == ["DDIM"]
    assert "automatic" in names["schedulers"]


def test_setting_the_closest_model_keeps_the_one_there_is(seen: Seen) -> None:
    assert seen.returned("set_model") == seen.returned("lists_of_names")["current"]


def test_options_go_there_and_back(seen: Seen) -> None:
    options = seen.returned("options_there_and_back")
    assert options["answer"] is None
    assert options["after"] == options["before"]


def test_interrupt_skip_and_refresh_answer_while_nothing_is_drawn(seen: Seen) -> None:
    commands = {"interrupt": {}, "skip": None, "refresh_checkpoints": None}
    assert seen.returned("commands") == commands


def test_util_wait_for_ready_finds_the_service_idle(seen: Seen) -> None:
    progress = seen.returned("wait_for_ready")
    assert progress["progress"] == 0.0
    assert progress["state"]["job_count"] == 0
    assert progress["current_image"] is None


def test_png_info_reads_its_own_picture(seen: Seen) -> None:
    info = seen.returned("png_info_of_its_own_picture")
    assert info["read"] == info["text"]
    assert "Negative prompt: blue" in info["read"]
    assert "Seed: 5" in info["read"]
