"""Stacks: select, list, remove, outputs, config, history, and one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.project import stack_config
from engine.project.passphrase import Crypter
from engine.values import Secret
from tests.engine.pulumi_project import PulumiProject, Ran

pytestmark = pytest.mark.slow

SHOW_CONFIG = """
import json
from pathlib import Path
from pulumi.runtime.config import CONFIG
(Path(__file__).parent / "config.json").write_text(json.dumps(dict(CONFIG.get())))
pulumi.export("word", config.get_secret("word"))
pulumi.export("size", config.require_int("size"))
"""


def assert_one_line(ran: Ran, code: int, *parts: str) -> None:
    assert ran.code == code, ran.text
    (line,) = ran.err.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def test_a_stack_is_created_selected_listed_and_removed(unselected: PulumiProject) -> None:
    project = unselected
    project.program("")
    assert_one_line(project.run("up", "--yes"), 1, "no stack selected", "stack select --create")
    assert_one_line(project.run("stack", "select", "dev"), 6, "no stack named 'dev' found")
    assert project.run("stack", "select", "--create", "dev").code == 0
    assert_one_line(project.run("stack", "init", "dev"), 1, "already exists")
    assert project.run("stack", "init", "other").code == 0
    assert "other*" in project.run("stack", "ls").out
    project.run("stack", "select", "organization/things/dev")
    listed = json.loads(project.run("stack", "ls", "--json").out)
    assert [(row["name"], row["current"]) for row in listed] == [("dev", True), ("other", False)]

    config = project.folder / "Pulumi.dev.yaml"
    text = config.read_text()
    assert project.run("stack", "rm", "--yes", "--preserve-config").code == 0
    assert config.read_text() == text and not project.checkpoint.exists()
    assert project.run("stack", "rm", "--yes", "-s", "other").code == 0
    assert not (project.folder / "Pulumi.other.yaml").exists()
    assert_one_line(project.run("preview"), 1, "no stack selected")


def test_a_stack_with_resources_is_not_removed_unless_forced(project: PulumiProject) -> None:
    project.program('Thing("a")')
    project.up()
    assert_one_line(project.run("stack", "rm", "--yes"), 1, "still has resources", "destroy")
    assert_one_line(project.run("stack", "rm"), 2, "--yes must be passed")
    assert project.run("stack", "rm", "--yes", "--force", "--remove-backups").code == 0
    left = [path for path in project.backend.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["meta.yaml"]


def test_outputs_are_shown_singly_all_together_and_as_json(project: PulumiProject) -> None:
    project.program(
        'pulumi.export("name", "text")\n'
        'pulumi.export("limits", {"steps": 50, "half": 0.5, "none": None})'
    )
    empty = project.run("stack", "output", "--json")
    assert json.loads(empty.out) == {}
    project.up()
    assert project.run("stack", "output", "name").out == "text\n"
    assert json.loads(project.run("stack", "output", "--json").out) == {
        "name": "text",
        "limits": {"steps": 50, "half": 0.5, "none": None},
    }
    table = project.run("stack", "output").out
    assert "Current stack outputs (2):" in table and '{"half":0.5,"none":null,"steps":50}' in table
    assert_one_line(project.run("stack", "output", "nope"), 1, "does not have", "'nope'")


def test_config_is_typed_merged_with_defaults_and_decrypted(project: PulumiProject) -> None:
    (project.folder / "Pulumi.yaml").write_text(
        "name: things\nruntime: {name: python}\nconfig:\n"
        "  size: {type: integer, default: 3, description: how large}\n"
        "  given: {value: from the project}\n"
        "  other:place: elsewhere\n"
    )
    stack_file = project.folder / "Pulumi.dev.yaml"
    salt = stack_file.read_text().split()[1]
    secure = Crypter("", salt).encrypt("hush")
    stack_file.write_text(
        stack_file.read_text()
        + "config:\n  things:yes: true\n  things:half: 1.50\n  things:list: [1, {a: <b>}]\n"
        + f"  things:day: 2024-01-01\n  things:none:\n  things:word: {{secure: '{secure}'}}\n"
    )
    project.program(SHOW_CONFIG)
    ran = project.up()
    shown = project.run("stack", "output", "--json")
    assert '"[secret]"' in shown.out and "hush" not in ran.text + shown.text
    stored = [file for file in project.backend.rglob("*") if file.is_file()]
    assert project.checkpoint in stored
    assert [file for file in stored if "hush" in file.read_text()] == []
    outputs = project.resources()["things-dev"].outputs
    assert outputs["word"] == Secret("hush")
    config = json.loads((project.folder / "config.json").read_text())
    assert config == {
        "things:size": "3",
        "things:given": "from the project",
        "other:place": "elsewhere",
        "things:yes": "true",
        "things:half": "1.5",
        "things:list": '[1,{"a":"\\u003cb\\u003e"}]',
        "things:day": "2024-01-01 00:00:00 +0000 UTC",
        "things:none": "",
        "things:word": "hush",
    }
    assert outputs["size"] == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (2.0, "2"), (1e20, "100000000000000000000"), (False, "false"), ({}, "{}")],
)
def test_config_values_become_strings(value: object, text: str) -> None:
    assert stack_config.as_string(value) == text


def test_missing_and_mistyped_config_is_reported_in_one_line(project: PulumiProject) -> None:
    (project.folder / "Pulumi.yaml").write_text(
        "name: things\nruntime: python\nconfig:\n  size: {type: integer}\n"
    )
    ran = project.run("preview")
    assert_one_line(ran, 2, "'dev' is missing configuration value 'size'", "Pulumi.dev.yaml")
    project.config(size="large")
    assert_one_line(project.run("preview"), 2, "'size' must be of type 'integer'")


def test_missing_or_broken_files_are_reported_in_one_line(
    project: PulumiProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_one_line(project.run("up", "--yes", "-s", "nope"), 6, "no stack named 'nope' found")
    assert_one_line(project.run("up", "--yes", "-s", "b ad"), 2, "'b ad'")
    assert_one_line(project.run("up"), 2, "--yes or --skip-preview")
    yaml_file = project.folder / "Pulumi.yaml"
    yaml_file.write_text("name: [")
    assert_one_line(project.run("preview"), 2, "Pulumi.yaml is not valid YAML")
    yaml_file.write_text("runtime: python")
    assert_one_line(project.run("preview"), 2, "`name` is missing")
    yaml_file.unlink()
    assert_one_line(project.run("preview"), 1, "no Pulumi.yaml project file found")
    yaml_file.write_text("name: things\nruntime: python\n")
    project.checkpoint.write_text('{"version": 3, "checkp')
    assert_one_line(project.run("preview"), 1, "dev.json is not valid JSON", "dev.json.bak")
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    assert_one_line(project.run("preview"), 2, "set PULUMI_BACKEND_URL")


def test_a_wrong_or_missing_passphrase_is_reported_in_one_line(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    assert_one_line(project.run("up", "--yes"), 1, "incorrect passphrase")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    assert_one_line(project.run("up", "--yes"), 1, "PULUMI_CONFIG_PASSPHRASE_FILE")
    file = project.folder / "phrase"
    file.write_text("\n")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(file))
    project.program("")
    assert project.run("preview").code == 0


def test_a_changed_passphrase_reencrypts_the_state(
    project: PulumiProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.program('Thing("a", word=pulumi.Output.secret("hush"))')
    project.up()
    before = project.deployment()["secrets_providers"]
    stack_file = project.folder / "Pulumi.dev.yaml"
    stack_file.write_text(f"encryptionsalt: {Crypter('').state}\n")
    assert "    2 unchanged" in project.up().out
    assert project.deployment()["secrets_providers"] != before
    assert "    2 unchanged" in project.up().out


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"magic":"', '"magic":"0', "magic is wrong"),
        ('"urn:pulumi:dev::things::pulumi:pulumi:Stack', '"urn:x', "corrupt"),
        ('"urn":"urn:pulumi:dev::things::pulumi:pulumi:Stack', '"u":"x', "has no URN or no type"),
        ('"checkpoint":{', '"point":{', "dev.json is not a checkpoint"),
    ],
)
def test_an_inconsistent_state_is_refused(
    project: PulumiProject, old: str, new: str, says: str
) -> None:
    project.program('Thing("a")')
    project.up()
    text = project.checkpoint.read_text()
    project.checkpoint.write_text(text.replace(old, new, 1))
    assert_one_line(project.run("preview"), 1, says)


def test_every_operation_leaves_history_and_a_backup(project: PulumiProject) -> None:
    project.program('Thing("a", fails="create")')
    project.run("up", "--yes")
    project.run("refresh", "--yes")
    project.run("preview")
    ran = project.run("history")
    kinds = [line.split()[:2] for line in ran.out.splitlines()[1:]]
    assert kinds == [["refresh", "succeeded"], ["update", "failed"]]
    backups = list((project.backend / "backups" / "things" / "dev").glob("dev.*.json"))
    assert len(backups) == 2


def test_the_history_has_the_official_format(project: PulumiProject) -> None:
    """What `pulumi stack history` and `pulumi stack export --version` read."""
    project.program('Thing("a")')
    project.config(prefix="x")
    project.up("--message", "first")
    folder = project.backend / "history" / "things" / "dev"
    (history,) = folder.glob("dev-*.history.json")
    entry = json.loads(history.read_text())
    assert entry["kind"] == "update" and entry["result"] == "succeeded"
    assert entry["message"] == "first" and entry["version"] == 0
    assert entry["resourceChanges"] == {"create": 2}
    assert entry["config"]["things:prefix"] == "x" and entry["environment"]
    assert 0 <= entry["endTime"] - entry["startTime"] < 600
    checkpoint = history.with_name(history.name.replace(".history.", ".checkpoint."))
    (backup,) = (project.backend / "backups" / "things" / "dev").glob("dev.*.json")
    assert checkpoint.read_text() == backup.read_text() == project.checkpoint.read_text()


def test_help_has_examples(unselected: PulumiProject, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        unselected.run("--help")
    assert exited.value.code == 0
    assert "python -m engine up --refresh --yes" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["up", "--frob"], ["frob"], []])
def test_invalid_arguments_are_reported_in_one_line(
    unselected: PulumiProject, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        unselected.run(*arguments)
    assert exited.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "--help" in line
