"""`POST /sdapi/v1/txt2img`."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from client.command_line.cli import main as client
from model_export.spec import SEED_LIMIT
from tests.processes import wait_until
from tests.web.a1111.front import TXT2IMG, Front, info_of, picture_of
from web.jobs.job import JobState
from web.pictures import infotext


def test_a_prompt_alone_is_drawn_with_the_models_defaults(front: Front) -> None:
    answer = front.draw()
    (image,) = answer["images"]
    assert picture_of(image).size == (64, 64)
    (asked,) = front.stub.requests
    assert (asked.num_steps, asked.guidance_scale) == (4, 7.5)
    info = info_of(answer)
    assert (info["steps"], info["cfg_scale"], info["width"], info["height"]) == (4, 7.5, 64, 64)
    assert answer["notes"] == []


def test_batches_and_iterations_multiply_and_seeds_count_up(front: Front) -> None:
    answer = front.draw(seed=10, batch_size=2, n_iter=2)
    assert [asked.seed for asked in front.stub.requests] == [10, 11, 12, 13]
    info = info_of(answer)
    assert info["all_seeds"] == [10, 11, 12, 13]
    assert info["seed"] == 10
    assert len(answer["images"]) == len(info["infotexts"]) == len(info["all_prompts"]) == 4
    assert (answer["parameters"]["batch_size"], answer["parameters"]["n_iter"]) == (2, 2)


def test_seed_minus_one_is_drawn_by_lot_and_said(front: Front) -> None:
    answer = front.draw(seed=-1)
    seed = info_of(answer)["seed"]
    assert 0 <= seed < SEED_LIMIT
    assert front.stub.requests[0].seed == seed


def test_a_seed_beyond_the_models_range_is_mapped_and_said(front: Front) -> None:
    answer = front.draw(seed=SEED_LIMIT + 3)
    assert info_of(answer)["seed"] == 3
    assert any("seed 3 instead of" in note for note in answer["notes"])


def test_another_size_is_drawn_at_the_models_and_the_true_one_stands_in_the_answer(
    front: Front,
) -> None:
    answer = front.draw(width=512, height=768)
    info = info_of(answer)
    assert (info["width"], info["height"]) == (64, 64)
    assert "Size: 64x64" in info["infotexts"][0]
    assert answer["parameters"]["width"] == 512
    assert any("instead of 512x768" in note for note in answer["notes"])


def test_a_strict_size_is_refused_where_the_model_has_another(front: Front) -> None:
    answer = front.post(TXT2IMG, {"prompt": "a", "width": 512, "strictSize": True})
    assert answer.status_code == 400
    assert "64x64" in answer.json()["detail"]
    assert front.stub.requests == []


def test_what_was_mapped_is_said_in_the_body_and_in_a_header(front: Front) -> None:
    body = {"prompt": "a", "sampler_name": "Euler a", "ü": 1}
    answer = front.post(TXT2IMG, body)
    assert answer.json()["notes"] == [
        "sampler DDIM Uniform instead of Euler a: the model has no other",
        "not understood: ü",
    ]
    assert answer.headers["x-notes"].endswith("; not understood: \\xfc")
    assert info_of(answer.json())["sampler_name"] == "DDIM"


def test_what_is_not_offered_is_refused_in_a1111s_shape(front: Front) -> None:
    answer = front.post(TXT2IMG, {"prompt": "a", "enable_hr": True})
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "detail", "body", "errors"}
    assert answer.json()["error"] == "not_offered"
    assert front.stub.requests == []


def test_prompt_syntax_is_removed_and_said(front: Front) -> None:
    answer = front.draw(
        prompt=r"a (red:1.3) circle <lora:ink:1> \(x\)", negative_prompt="[blurred]"
    )
    asked = front.stub.requests[0]
    assert (asked.prompt, asked.negative_prompt) == ("a red circle  (x)", "blurred")
    assert len(answer["notes"]) == 2
    assert "<lora:ink:1>" in answer["notes"][0]
    found = infotext.read(info_of(answer)["infotexts"][0])
    assert found.prompt == r"a red circle  \(x\)" == info_of(answer)["prompt"]


def test_a_picture_carries_its_infotext_and_the_exact_request(front: Front) -> None:
    answer = front.draw(seed=7, negative_prompt="blue")
    with picture_of(answer["images"][0]) as image:
        assert image.info["parameters"] == info_of(answer)["infotexts"][0]
        assert json.loads(image.info["diffusion-serving"])["seed"] == 7
        assert image.info["parameters"].startswith("a red circle\nNegative prompt: blue\nSteps: 4")


def test_the_command_line_draws_a_picture_again(
    front: Front,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = front.draw(prompt=r"two \(red\) stars ☆", negative_prompt="blue", seed=7, steps=3)
    Path("a.png").write_bytes(base64.b64decode(answer["images"][0]))
    assert client(["again", "a.png", "--endpoint", str(front.client.base_url)]) == 0
    assert "pixels  equal" in capsys.readouterr().out
    assert front.stub.requests[0] == front.stub.requests[1]


def test_an_infotext_posted_back_draws_the_same_picture(front: Front) -> None:
    first = front.draw(prompt=r"two \(red\) [stars]", negative_prompt="(blue:1.2)")
    found = front.post("/sdapi/v1/png-info", {"image": first["images"][0]}).json()["parameters"]
    again = front.draw(
        prompt=found["Prompt"],
        negative_prompt=found["Negative prompt"],
        steps=found["Steps"],
        cfg_scale=found["CFG scale"],
        seed=found["Seed"],
        width=found["Size-1"],
        height=found["Size-2"],
        sampler_name=found["Sampler"],
        scheduler=found["Schedule type"],
        override_settings={"sd_model_checkpoint": found["Model hash"]},
    )
    assert again["images"] == first["images"]
    assert again["notes"] == []


def test_all_keys_of_a1111s_info_are_there(front: Front) -> None:
    info = info_of(front.draw())
    assert set(info) == {
        *("prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds"),
        *("subseed", "all_subseeds", "subseed_strength", "width", "height", "sampler_name"),
        *("cfg_scale", "steps", "batch_size", "restore_faces", "face_restoration_model"),
        *("sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash", "seed_resize_from_w"),
        *("seed_resize_from_h", "denoising_strength", "extra_generation_params"),
        *("index_of_first_image", "infotexts", "styles", "job_timestamp", "clip_skip"),
        *("is_using_inpainting_conditioning", "version"),
    }


def test_pictures_may_be_left_out_of_the_answer(front: Front) -> None:
    answer = front.draw(send_images=False)
    assert answer["images"] == []
    assert len(info_of(answer)["infotexts"]) == 1


def test_a_task_id_is_the_jobs_and_the_same_one_draws_once(front: Front) -> None:
    first = front.draw(force_task_id="task(abc)")
    second = front.draw(force_task_id="task(abc)")
    assert first["images"] == second["images"]
    assert len(front.stub.requests) == 1
    assert front.service.queue.find("", "task(abc)") is not None


BAD_REQUESTS: list[tuple[Any, int, str]] = [
    ({"prompt": 7}, 422, "prompt"),
    ({"prompt": "a", "steps": 2.5}, 422, "steps"),
    ({"prompt": "a", "steps": 1000}, 400, "steps must be from 1 to 50"),
    ({"prompt": "a", "steps": 0}, 400, "steps"),
    ({"prompt": "a", "cfg_scale": 1000}, 400, "guidance scale"),
    ({"prompt": "a", "batch_size": 0}, 422, "batch_size"),
    ({"prompt": "a", "batch_size": 2**50, "n_iter": 2**50}, 400, "too many"),
    ({"prompt": "a", "seed": 10**30}, 422, "seed"),
    ({"prompt": "a", "width": -8}, 400, "-8"),
    ({"prompt": "a", "override_settings": []}, 422, "override_settings"),
    ({"prompt": "a" * 10_000}, 400, "shorten it"),
    ({"prompt": "(" * 1_000_000}, 400, "shorten it"),
    ({"prompt": "a\0"}, 400, "NUL"),
    ({"prompt": "a", "force_task_id": "../x y"}, 400, "id"),
    ([], 422, "JSON object"),
    (None, 422, "JSON object"),
]


def test_what_cannot_be_drawn_is_refused_in_one_line(front: Front) -> None:
    for body, status, words in BAD_REQUESTS:
        answer = front.post(TXT2IMG, body)
        assert answer.status_code == status
        assert set(answer.json()) == {"error", "detail", "body", "errors"}
        assert words in answer.json()["detail"]
        assert "\n" not in answer.json()["detail"]
    assert front.stub.requests == []


def test_an_empty_or_odd_authorization_is_anonymous(own_front: Front) -> None:
    values = ("Basic ", "Basic Og==", "Basic %%%", "Bearer", "Digest x", "", "Basic")
    for value in values:
        # httpx refuses to send a blank at the end.
        connection = HTTPConnection(own_front.client.base_url.netloc.decode())
        headers = {"authorization": value, "content-type": "application/json"}
        connection.request("POST", TXT2IMG, b'{"prompt": "a"}', headers)
        assert connection.getresponse().status == 200
        connection.close()
    assert len(own_front.service.queue.jobs("")) == len(values)


@pytest.mark.parametrize("own_front", [1], indirect=True)
def test_a_full_queue_answers_503_with_retry_after(own_front: Front) -> None:
    own_front.stub.behaviour.seconds_per_step = 0.1
    first, second = own_front.start(), own_front.start()
    queue = own_front.service.queue
    wait_until(lambda: (queue.drawing, queue.queued) == (1, 1), "both")
    answers = [own_front.post(TXT2IMG, {"prompt": "a"}) for _ in range(2)]
    for answer in answers:
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["error"] == "queue_full"
    assert [call.result().status_code for call in (first, second)] == [200, 200]


def test_five_at_a_time_are_all_drawn(front: Front) -> None:
    with ThreadPoolExecutor(5) as callers:
        answers = callers.map(lambda _: front.post(TXT2IMG, {"prompt": "a"}), range(50))
        assert [answer.status_code for answer in answers] == [200] * 50


def test_a_model_server_that_fails_is_said_in_a1111s_shape(own_front: Front) -> None:
    own_front.stub.behaviour.fails["advance"] = grpc.StatusCode.INTERNAL
    answer: httpx.Response = own_front.post(TXT2IMG, {"prompt": "a"})
    assert answer.status_code == 502
    assert set(answer.json()) == {"error", "detail", "body", "errors"}


def test_a_caller_who_hangs_up_ends_the_job(own_front: Front) -> None:
    own_front.stub.behaviour.seconds_per_step = 0.2
    with pytest.raises(httpx.ReadTimeout):
        own_front.client.post(TXT2IMG, json={"prompt": "a", "steps": 50}, timeout=0.3)
    (job,) = own_front.service.queue.jobs("")
    wait_until(lambda: job.state is JobState.CANCELLED, "the job's end")
