"""`generate` against a server that works: what is sent, written and printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from client.stacks.discovery import PROJECT_ROOT
from model_export.reported import RANDOM_WEIGHTS_MARK
from model_export.spec import SEED_LIMIT, ModelSpec
from tests.client.commands import CommandLine
from tests.client.fake_serving import FINGERPRINT, FakeServing, picture_png


def test_a_prompt_becomes_a_file_and_one_line(run: CommandLine, server: FakeServing) -> None:
    ran = run("generate", "a red circle", "--seed", "7", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert re.fullmatch(r"out/a-red-circle-7\.png  seed 7  \d+\.\d s\n", ran.out)
    assert ran.err == ""
    assert [path.name for path in Path("out").iterdir()] == ["a-red-circle-7.png"]


def test_every_option_reaches_the_server(run: CommandLine, server: FakeServing) -> None:
    run(
        *("generate", "--endpoint", server.endpoint, "--steps", "30", "--guidance-scale", "5.5"),
        *("--negative-prompt", "blurry, red", "a blue star ☆", "--seed", "3"),
    )
    assert server.rows == [
        {
            "prompt": "a blue star ☆",
            "negative_prompt": "blurry, red",
            "num_steps": 30,
            "guidance_scale": 5.5,
            "seed": 3,
        }
    ]


def test_omitted_options_take_the_model_specs_defaults(
    run: CommandLine, server: FakeServing
) -> None:
    run("generate", "--prompt", "a star", "--endpoint", server.endpoint)
    (row,) = server.rows
    assert row["num_steps"] == ModelSpec().steps
    assert row["guidance_scale"] == ModelSpec().guidance_scale
    assert row["negative_prompt"] == ""
    assert 0 <= row["seed"] < SEED_LIMIT


def test_the_file_records_its_values_and_keeps_the_servers_pixels(
    run: CommandLine, server: FakeServing
) -> None:
    server.fingerprint = "fedcba9876543210"
    prompt = 'ein "großer" Kreis\nmit Öl, 大きな円 🟢'
    run(
        *("generate", prompt, "--negative-prompt", "rötlich", "--seed", "11"),
        *("--steps", "12", "--guidance-scale", "3.3", "--endpoint", server.endpoint),
    )
    (path,) = Path("out").iterdir()
    with Image.open(path) as image:
        image.load()
        assert image.text == {
            "prompt": prompt,
            "negative_prompt": "rötlich",
            "seed": "11",
            "steps": "12",
            "guidance_scale": "3.3",
            "model_fingerprint": "fedcba9876543210",
            "model_profile": "exact",
        }
        with Image.open(BytesIO(picture_png(server.rows[0]))) as sent:
            assert image.tobytes() == sent.tobytes()


def test_count_sends_one_request_at_a_time_with_consecutive_seeds(
    run: CommandLine, server: FakeServing
) -> None:
    ran = run(
        *("generate", "a star", "--count", "3", "--seed", "5", "--out", "deep/er"),
        *("--endpoint", server.endpoint),
    )
    assert [row["seed"] for row in server.rows] == [5, 6, 7]
    assert len(ran.out.splitlines()) == 3
    assert sorted(path.name for path in Path("deep/er").iterdir()) == [
        "a-star-5.png",
        "a-star-6.png",
        "a-star-7.png",
    ]


def test_without_a_seed_every_picture_gets_a_random_one(
    run: CommandLine, server: FakeServing
) -> None:
    ran = run("generate", "a star", "--count", "4", "--endpoint", server.endpoint)
    seeds = [row["seed"] for row in server.rows]
    assert len(set(seeds)) == 4
    assert [int(seed) for seed in re.findall(r"seed (\d+)", ran.out)] == seeds


def test_the_same_picture_again_gets_a_new_name(run: CommandLine, server: FakeServing) -> None:
    for _ in range(3):
        assert run("generate", "x", "--seed", "1", "--endpoint", server.endpoint).code == 0
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == ["x-1-2.png", "x-1-3.png", "x-1.png"]


def test_a_prompt_cut_by_the_model_is_drawn_with_a_warning(
    run: CommandLine, server: FakeServing
) -> None:
    ran = run("generate", "star " * 100, "--count", "2", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 2
    assert ran.error_line.startswith("warning: the prompt has 102 tokens")
    assert "77" in ran.error_line


def test_a_lora_in_a_prompt_is_warned_about(run: CommandLine, server: FakeServing) -> None:
    ran = run("generate", "a star <lora:style:0.8>", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert "<lora:…> is read as text: LoRAs are a part of the model" in ran.error_line


def test_clamped_steps_are_warned_about_and_recorded(run: CommandLine, server: FakeServing) -> None:
    server.max_steps = 10
    ran = run("generate", "a star", "--seed", "1", "--steps", "20", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.error_line == "warning: the server ran 10 steps, not 20"
    with Image.open("out/a-star-1.png") as image:
        image.load()
        assert image.text["steps"] == "10"


def test_an_empty_prompt_is_allowed(run: CommandLine, server: FakeServing) -> None:
    ran = run("generate", "", "--seed", "1", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert server.rows[0]["prompt"] == ""
    assert Path("out/picture-1.png").exists()


def test_an_option_that_is_none_is_named_and_not_its_value(
    run: CommandLine, server: FakeServing
) -> None:
    for given in (["--prompt", "a star", "--guidance", "7"], ["a star", "--guidance=7"]):
        ran = run("generate", *given, "--endpoint", server.endpoint)
        assert ran.code == 2
        assert ran.err.startswith("error: unrecognized arguments: --guidance; see ")
    for prompt in (["--wide angle"], ["--", "--wide"]):
        assert run("generate", "--endpoint", server.endpoint, *prompt).code == 0
    assert [row["prompt"] for row in server.rows] == ["--wide angle", "--wide"]


def test_a_prompt_may_start_with_a_dash(run: CommandLine, server: FakeServing) -> None:
    assert run("generate", "--prompt=--star", "--endpoint", server.endpoint).code == 0
    assert server.rows[0]["prompt"] == "--star"


def test_a_prompt_of_exactly_8_kib_is_sent(run: CommandLine, server: FakeServing) -> None:
    assert run("generate", "ß" * 4096, "--endpoint", server.endpoint).code == 0


@pytest.mark.parametrize("form", ["{}/", "  {}  ", "{}"])
def test_an_endpoint_may_have_a_trailing_slash_or_spaces(
    run: CommandLine, server: FakeServing, form: str
) -> None:
    assert run("generate", "x", "--endpoint", form.format(server.endpoint)).code == 0


def test_an_endpoint_without_a_scheme_is_http(run: CommandLine, server: FakeServing) -> None:
    bare = server.endpoint.removeprefix("http://")
    assert run("generate", "x", "--endpoint", bare).code == 0


def test_a_proxy_in_the_environment_is_not_asked_for_the_loopback(
    run: CommandLine, server: FakeServing, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("no_proxy", "")
    assert run("generate", "x", "--endpoint", server.endpoint).code == 0


def test_a_model_with_random_weights_is_warned_about(run: CommandLine, server: FakeServing) -> None:
    server.fingerprint = FINGERPRINT + RANDOM_WEIGHTS_MARK
    ran = run("generate", "a star", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert "warning: this model has RANDOM WEIGHTS: it was never trained" in ran.err


def test_each_picture_records_the_fingerprint_of_its_own_response(
    run: CommandLine, server: FakeServing
) -> None:
    fingerprints = iter([FINGERPRINT, "another"])

    def swap_model() -> None:
        server.fingerprint = next(fingerprints)

    server.before_predict = swap_model
    run("generate", "x", "--seed", "1", "--count", "2", "--endpoint", server.endpoint)
    for name, fingerprint in (("x-1.png", FINGERPRINT), ("x-2.png", "another")):
        with Image.open(Path("out") / name) as image:
            image.load()
            assert image.text["model_fingerprint"] == fingerprint


def test_characters_that_the_terminal_cannot_encode_are_escaped(
    server: FakeServing, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "client", "generate", "赤い丸", "--seed", "1"),
            *("--endpoint", server.endpoint, "--out", str(tmp_path)),
        ],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"{tmp_path}/\\u8d64\\u3044\\u4e38-1.png")
    assert (tmp_path / "赤い丸-1.png").exists()


def test_a_closed_output_pipe_ends_the_run_quietly(server: FakeServing, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "client", "generate", "x", "--count", "3"),
            *("--endpoint", server.endpoint, "--out", str(tmp_path)),
        ],
        cwd=PROJECT_ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert ran.returncode == 130
    assert ran.stderr == ""
