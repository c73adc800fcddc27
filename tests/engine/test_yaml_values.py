"""Config values: YAML and strings as the official CLI has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from engine.project import stack_config, yaml_values
from tests.engine.pulumi_project import PulumiProject

# What `pulumi config --json` of version 3.260 answers for each value.
OFFICIAL = {
    "no": "no", "on": "on", "yes": "yes", "off": "off", "Yes": "Yes", "y": "y", "n": "n",
    "True": "true", "TRUE": "true", "false": "false",
    "~": "", "null": "", "Null": "", "": "", '"no"': "no", "'010'": "010", '"1e3"': "1e3",
    "010": "8", "0o10": "8", "0O17": "15", "0777": "511", "-010": "-8", "09": "9", "+5": "5",
    "-0": "0", "0x1F": "31", "0b11": "3", "1_000": "1000", "685_230.15": "685230.15",
    "12:30:45": "12:30:45", "190:20:30": "190:20:30",
    "1.50": "1.5", ".5": "0.5", "1.": "1", "1.0": "1", "-0.0": "0", "0.1": "0.1",
    "1e3": "1000", "1E3": "1000", "1e+3": "1000", "12e03": "12000", "-2E+05": "-200000",
    "1e21": "1e+21", "1.5e-7": "1.5e-7", "5e-324": "5e-324", "1e400": "1e400",
    "1.7976931348623157e+308": "1.7976931348623157e+308",
    "1.23456789012345678": "1.2345678901234567", "123456789.125": "123456789.125",
    "123456789012345678": "123456789012345678", "9223372036854775808": "9223372036854775808",
    "18446744073709551615": "18446744073709551615",
    "18446744073709551616": "18446744073709552000",
    "100000000000000000000": "100000000000000000000",
    "0xFFFFFFFFFFFFFFFFFF": "0xFFFFFFFFFFFFFFFFFF",
    "2024-01-01": "2024-01-01 00:00:00 +0000 UTC", "2024-1-1": "2024-01-01 00:00:00 +0000 UTC",
    "2024-01-01T10:20:30Z": "2024-01-01 10:20:30 +0000 UTC",
    "2024-01-01 10:20:30": "2024-01-01 10:20:30 +0000 UTC",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14 21:59:43.1 -0500 -0500",
    "0987-06-05": "0987-06-05 00:00:00 +0000 UTC",
    "2001-12-14T21:59:43+99:00": "2001-12-14T21:59:43+99:00",
    "2001-12-14T21:59:43+05:99": "2001-12-14T21:59:43+05:99",
    "=": "=", "<<": "<<", "!!str 12": "12", '!!int "12"': "12",
    '[no, 010, 1e3, ~, 2024-01-01, 1.50, "no", 1.5e-7, 1e21, 18446744073709551616, -0.0, 0.00001]':
        '["no",8,1000,null,"2024-01-01 00:00:00 +0000 UTC",1.5,"no",1.5e-7,1e+21,'
        "18446744073709552000,0,0.00001]",
    "{no: on, 010: 1e21, true: 1, ~: 2}": '{"8":1e+21,"\\u003cnil\\u003e":2,"no":"on","true":1}',
    "{2024-01-01: 1, 1.5: 2, 1e21: 3}":
        '{"1.5":2,"1e+21":3,"2024-01-01 00:00:00 +0000 UTC":1}',
}  # fmt: skip


@pytest.mark.parametrize("text", OFFICIAL)
def test_a_config_value_is_the_string_that_the_official_cli_makes_of_it(text: str) -> None:
    content = yaml_values.load(f"value: {text}\n")
    assert isinstance(content, dict)
    assert stack_config.as_string(content["value"]) == OFFICIAL[text]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH")
def test_the_official_cli_makes_these_strings(exact_project: PulumiProject) -> None:
    file = exact_project.folder / "Pulumi.dev.yaml"
    lines = [f"  things:k{number}: {text}\n" for number, text in enumerate(OFFICIAL)]
    file.write_text(file.read_text() + "config:\n" + "".join(lines))
    ran = subprocess.run(
        ["pulumi", "config", "--json", "--stack", "dev", "-C", str(exact_project.folder)],
        stdout=subprocess.PIPE,
        check=True,
    )
    answers = yaml.safe_load(ran.stdout)
    assert [answers[f"things:k{number}"]["value"] for number in range(len(OFFICIAL))] == list(
        OFFICIAL.values()
    )


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "[.inf]"])
def test_a_number_without_json_is_refused_in_one_line(project: PulumiProject, text: str) -> None:
    file = project.folder / "Pulumi.dev.yaml"
    file.write_text(f"{file.read_text()}config:\n  things:size: {text}\n")
    ran = project.run("preview")
    assert ran.code == 2
    assert "Pulumi.dev.yaml" in ran.err and "has no JSON" in ran.err and ran.err.count("\n") == 1


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="'size' is there twice"):
        yaml_values.load("config:\n  size: 1\n  size: 2\n")


@pytest.mark.parametrize("start", ["---\n", "\ufeff", "\ufeff---\n", "# first\n---  # here\n"])
def test_files_may_start_with_a_byte_order_mark_or_a_document_mark(
    unselected: PulumiProject, start: str
) -> None:
    stack_file = unselected.folder / "Pulumi.dev.yaml"
    stack_file.write_text(f"{start}# mine\nconfig:\n  things:size: 3\n", encoding="utf-8")
    project_file = unselected.folder / "Pulumi.yaml"
    project_file.write_text(start + project_file.read_text(), encoding="utf-8")
    unselected.program('Thing("a", size=config.require_int("size"))')
    assert unselected.run("stack", "select", "--create", "dev").code == 0
    unselected.up()
    assert unselected.cloud["a"]["size"] == 3
    text = stack_file.read_text(encoding="utf-8")
    assert text.startswith(f"{start}encryptionsalt: v1:") and "# mine\n" in text


def test_a_file_to_which_no_salt_can_be_added_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text("{config: {}}\n")
    file = stack_config.StackFile(path, "", {})
    with pytest.raises(stack_config.ConfigurationError, match="add `encryptionsalt: v1:x"):
        file.write_salt("v1:x")
    assert path.read_text() == "{config: {}}\n"
