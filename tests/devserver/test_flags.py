"""The command line: TF Serving's names and syntax."""

from __future__ import annotations

import dataclasses
import re

import pytest

from devserver import flags
from devserver.flags import FlagError

BASE = "--model_base_path=/models/m"


def test_a_flag_is_given_as_name_equals_value() -> None:
    parsed, warnings = flags.parse([BASE, "--port=9000", "--rest_api_port=9001", "--model_name=m"])
    assert (parsed.port, parsed.rest_api_port, parsed.model_name) == (9000, 9001, "m")
    assert warnings == []


def test_the_defaults_are_those_of_tf_serving() -> None:
    parsed, _ = flags.parse([BASE])
    assert (parsed.port, parsed.rest_api_port, parsed.rest_api_timeout_in_ms) == (8500, 0, 30000)
    assert parsed.enable_model_warmup
    assert parsed.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--enable_batching", True),
        ("--enable_batching=true", True),
        ("--enable_batching=false", False),
    ],
)
def test_a_boolean_may_stand_without_a_value(argument: str, value: bool) -> None:
    parsed, _ = flags.parse([BASE, argument])
    assert parsed.enable_batching is value


def test_the_last_of_repeated_flags_wins() -> None:
    parsed, _ = flags.parse([BASE, "--port=1", "--port=2"])
    assert parsed.port == 2


@pytest.mark.parametrize("argument", ["--no_such_flag=1", "--port", "stray", "-port=1"])
def test_an_unknown_argument_is_ignored_with_a_warning(argument: str) -> None:
    parsed, warnings = flags.parse([BASE, argument])
    assert parsed.port == 8500
    assert warnings == [f"unknown argument: {argument}"]


def test_a_tf_serving_flag_without_effect_here_is_warned_about() -> None:
    _, warnings = flags.parse([BASE, "--enable_profiler=true", "--model_config_file=x"])
    assert [warning.split("=")[0] for warning in warnings] == [
        "--enable_profiler",
        "--model_config_file",
    ]


def test_a_flag_set_to_what_this_server_does_anyway_is_not_warned_about() -> None:
    deployment = [
        "--enable_profiler=false",
        "--max_num_load_retries=0",
        "--num_load_threads=1",
        "--num_unload_threads=1",
    ]
    assert flags.parse([BASE, *deployment])[1] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([BASE, "--port=abc"], "--port"),
        ([BASE, "--port=70000"], "--port"),
        ([BASE, "--port=0"], "--port"),
        ([BASE, "--rest_api_port=8500"], "--rest_api_port"),
        ([BASE, "--enable_batching=yes"], "--enable_batching"),
        ([BASE, "--batching_parameters_file=f"], "--batching_parameters_file"),
        ([BASE, "--file_system_poll_wait_seconds=-1"], "--file_system_poll_wait_seconds"),
        ([BASE, "--per_process_gpu_memory_fraction=x"], "--per_process_gpu_memory_fraction"),
        ([], "--model_base_path"),
        (
            [
                BASE,
                "--tensorflow_session_parallelism=1",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            "--tensorflow_session_parallelism",
        ),
    ],
)
def test_an_invalid_value_is_a_one_line_error_that_names_the_flag(
    arguments: list[str], named: str
) -> None:
    with pytest.raises(FlagError) as caught:
        flags.parse(arguments)
    assert str(caught.value).startswith(named)
    assert "\n" not in str(caught.value)


def test_the_usage_names_every_flag_with_an_effect() -> None:
    text = flags.usage()
    named = set(re.findall(r"^  --(\w+)=", text, re.MULTILINE))
    assert named == {field.name for field in dataclasses.fields(flags.Flags)}
    assert "--rest_api_timeout_in_ms=30000" in text
    assert "--enable_batching=false" in text
