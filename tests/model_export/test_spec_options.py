"""Nonsense in `--spec` and in arguments: one line, and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from model_export.cli import main
from tests.model_export.conftest import ROOT

ACCEPTED = '"accept_licence": "CreativeML Open RAIL-M"'


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "--spec: is not a JSON object: "),
        ("{", "--spec: is not a JSON object: "),
        ("steps", "--spec: is not a JSON object: "),
        ("null", "--spec: is not a JSON object but 'null'"),
        ("[]", "--spec: is not a JSON object but '[]'"),
        ('[["steps", 3]]', "--spec: is not a JSON object but '[[\"steps\", 3]]'"),
        ('"steps"', "--spec: is not a JSON object but "),
        ("[" * 100_000, "--spec: is not a JSON object: it is nested too deeply"),
        ('{"steps": ' + "9" * 5000 + "}", "--spec: is not a JSON object: "),
        ('{"colour": "red"}', "--spec: has no key 'colour'; it has family, "),
        ('{"' + "x" * 9999 + '": 1}', "--spec: has no key 'xxx"),
        ('{"steps": "many"}', "--steps: must be a whole number, not 'many'"),
        ('{"steps": null}', "--steps: must be a whole number, not None"),
        ('{"steps": true}', "--steps: must be a whole number, not True"),
        ('{"steps": [3]}', "--steps: must be a whole number, not [3]"),
        ('{"steps": 2.5}', "--steps: must be a whole number, not 2.5"),
        ('{"steps": NaN}', "--steps: must be a whole number, not nan"),
        ('{"steps": Infinity}', "--steps: must be a whole number, not inf"),
        ('{"steps": 1e999}', "--steps: must be a whole number, not inf"),
        ('{"max_steps": 1e300}', "--max-steps: is out of range"),
        ('{"image_size": ' + "9" * 4000 + "}", "--image-size: is out of range"),
        ('{"guidance_scale": "high"}', "--guidance-scale: must be a number, not 'high'"),
        ('{"guidance_scale": NaN}', "--guidance-scale: must be from 1 to 30, not nan"),
        ('{"guidance_scale": -Infinity}', "--guidance-scale: is out of range"),
        ('{"guidance_scale": 1' + "0" * 400 + "}", "--guidance-scale: is out of range"),
        ('{"negative_prompt": 3}', "--negative-prompt: must be text, not 3"),
        ('{"negative_prompt": "\\ud800"}', "--negative-prompt: is not UTF-8 text: '\\ud800'"),
        ('{"trace": "yes"}', "--trace: must be true or false, not 'yes'"),
        ('{"trace": 1}', "--trace: must be true or false, not 1"),
        ('{"family": []}', "--family: must be text, not []"),
        ('{"family": "' + "x" * 9999 + '"}', "--family: must be one of demo, sd14, not 'xxx"),
        ('{"sampler": {}}', "--sampler: must be text, not {}"),
        ('{"precision": "auto", "family": {}}', "--family: must be text, not {}"),
        ('{"weights": 3}', "--weights: must be text, not 3"),
        (
            '{"family": "sd14", "image_size": 384, "weights": "random:' + "9" * 5000 + '"}',
            "--weights: the seed must be from 0 to 4294967295, not '999",
        ),
        (
            '{"family": "sd14", "image_size": 384, "weights": "/a\\u0000b", ' + ACCEPTED + "}",
            "--weights: is no path: '/a\\x00b'",
        ),
    ],
)
@pytest.mark.parametrize("command", [["fingerprint"], ["export", "--to", "file:///x"]])
def test_a_spec_that_makes_no_sense_is_one_line(
    command: list[str], spec: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--spec", spec]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"model_export: {message}")
    assert len(line) < 400


def test_a_number_may_be_written_as_a_float(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fingerprint", "--spec", '{"steps": 20.0, "guidance_scale": 3}']) == 0
    assert main(["fingerprint", "--spec", '{"steps": 20, "guidance_scale": 3.0}']) == 0
    one, other = capsys.readouterr().out.split()
    assert one == other


@pytest.mark.parametrize(
    ("arguments", "notes"),
    [
        (["--sampler", "lcm", "--steps", "1"], 1),
        (["--profile", "instant", "--steps", "1"], 1),
        (["--sampler", "lcm"], 0),
        (["--steps", "1"], 0),
    ],
)
def test_automatic_precision_says_in_one_line_why_it_is_not_the_fastest(
    arguments: list[str],
    notes: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model_export.precision.of_this_machine", lambda _family: "bfloat16")
    chosen = ["--family", "sd14", "--weights", "random", *arguments]
    assert main(["fingerprint", *chosen, "--precision", "auto"]) == 0
    automatic = capsys.readouterr()
    says = "note: precision: auto is float32 here, because bfloat16's error grows 15 times in a "
    assert [line.startswith(says) for line in automatic.err.splitlines()] == [True] * notes
    assert main(["fingerprint", *chosen, "--precision", "float32" if notes else "bfloat16"]) == 0
    assert capsys.readouterr().out == automatic.out


@pytest.mark.parametrize(
    "arguments",
    [
        [b"fingerprint", b"--negative-prompt", b"caf\xe9"],
        [b"fingerprint", b"--spec", b'{"negative_prompt": "caf\xe9"}'],
        [b"fingerprint", b"--family", b"\xff"],
        [b"fingerprint", b"--spec", b"\xff"],
        [b"export", b"--to", b"file:///tmp/caf\xe9"],
        [b"inspect", b"file:///tmp/caf\xe9"],
        [b"inspect", b"file:///tmp/caf%E9"],
        [b"verify", b"/tmp/caf\xe9"],
        [b"delete", b"/tmp/caf\xe9"],
        [b"clean", b"file:///tmp/caf\xe9"],
        [b"inspect", b"gs://[bucket/x"],
    ],
)
def test_bytes_that_are_no_text_are_one_line(
    arguments: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([os.fsdecode(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("model_export: ")


def test_bytes_that_are_no_text_are_one_line_in_a_process_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "model_export", "fingerprint", "--negative-prompt", b"caf\xe9"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line == "model_export: --negative-prompt: is not UTF-8 text: 'caf\\udce9'"
