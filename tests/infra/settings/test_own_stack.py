"""`make stack`: a stack file of one's own, from another one, which stays as it is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.settings import own_stack, project_file
from infra.settings.own_stack import OwnStackError, changed
from infra.settings.values import SettingsError
from model_export.spec import WEIGHTS_LICENCE
from render.recorder import PROJECT, ROOT
from tests.stacks import STACKS

NEEDED = (
    "gcp:project=my-project-1",
    "allowedSourceRanges=203.0.113.7/32",
    f"acceptLicence={WEIGHTS_LICENCE}",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the project's and the stacks' files."""
    for name in (".gitignore", "Pulumi.yaml", *(f"Pulumi.{stack}.yaml" for stack in STACKS)):
        shutil.copy2(ROOT / name, tmp_path / name)
    monkeypatch.setattr(project_file, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", ["dev", "prod"])
def test_a_stack_of_ones_own_has_all_of_the_other_and_the_given_settings(
    folder: Path, source: str
) -> None:
    before = (folder / f"Pulumi.{source}.yaml").read_text()
    assert own_stack.write("mine", source, [*NEEDED, "maxReplicas=2"]) == "Pulumi.mine.yaml"
    text = (folder / "Pulumi.mine.yaml").read_text()
    assert (folder / f"Pulumi.{source}.yaml").read_text() == before
    assert all(line in text for line in before.splitlines() if line.startswith("#"))
    assert yaml.safe_load(text)["config"] == yaml.safe_load(before)["config"] | {
        "gcp:project": "my-project-1",
        f"{PROJECT}:allowedSourceRanges": "203.0.113.7/32",
        f"{PROJECT}:acceptLicence": WEIGHTS_LICENCE,
        f"{PROJECT}:maxReplicas": 2,
    }


def test_the_command_says_what_comes_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert own_stack.main(["--stack", "ada/mine", "--from", "dev", *NEEDED]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote Pulumi.mine.yaml: edit it whenever you like; git ignores it",
        "next  make key STACK=ada/mine NAME=alice",
    ]
    assert (folder / "Pulumi.mine.yaml").is_file()


@pytest.mark.parametrize("name", ["mine", "dev"])
def test_a_file_is_never_overwritten(folder: Path, name: str) -> None:
    file = folder / f"Pulumi.{name}.yaml"
    file.write_text(file.read_text() if file.exists() else "config: {}\n")
    before = file.read_text()
    with pytest.raises(OwnStackError, match=f"^Pulumi.{name}.yaml exists; edit it, or choose"):
        own_stack.write(name, "prod", NEEDED)
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("name", "source", "settings", "says"),
    [
        ("local", "dev", NEEDED, "name your stack, with letters and digits, such as STACK=mine"),
        ("../mine", "dev", NEEDED, "name your stack"),
        ("my stack", "dev", NEEDED, "name your stack"),
        ("mine", "local", NEEDED, "FROM must be a stack on GKE, such as dev"),
        ("mine", "moon", NEEDED, "there is no Pulumi.moon.yaml to copy (FROM=moon)"),
        ("mine", "dev", NEEDED[1:], "gcp:project: is missing; give make PROJECT="),
        ("mine", "dev", ("gcp:project=My Project", *NEEDED[1:]), "gcp:project: 'My Project' is"),
        (
            *("mine", "dev", (*NEEDED[::2], "exposeModelServer=true")),
            "allowedSourceRanges: is empty: ",
        ),
        ("mine", "dev", NEEDED[:2], "acceptLicence: "),
        ("mine", "dev", (*NEEDED, "maxNodes=many"), "maxNodes: must be a whole number"),
        ("mine", "dev", (*NEEDED, "maxNode=2"), "maxNode is not a setting; did you mean maxNodes?"),
        ("mine", "dev", (*NEEDED, "apiKeys={}"), "keys are not written as text: `make key` draws"),
        ("mine", "dev", (*NEEDED, "hello=2"), "hello is not a setting; Pulumi.yaml lists them"),
        ("mine", "dev", (*NEEDED, "spot"), "'spot' must be KEY=VALUE, such as maxNodes=1"),
    ],
)
def test_what_would_not_work_is_refused_in_one_line_and_nothing_is_written(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    source: str,
    settings: tuple[str, ...],
    says: str,
) -> None:
    before = sorted(folder.iterdir())
    assert own_stack.main(["--stack", name, "--from", source, *settings]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {says}")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("content", [b"config: [a", b"\xff\xfea\x00"])
def test_a_file_that_cannot_be_copied_is_named_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (folder / "Pulumi.other.yaml").write_bytes(content)
    assert own_stack.main(["--stack", "mine", "--from", "other", *NEEDED]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Pulumi.other.yaml cannot be read: ")


@pytest.mark.parametrize("page", ["gke", "serverless", "monitoring", "own-model"])
def test_the_documented_commands_make_a_stack(folder: Path, page: str) -> None:
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (typed,) = re.findall(r"^make stack (.*)$", text, re.MULTILINE)
    given = dict(word.split("=", 1) for word in shlex.split(typed))
    assert given.pop("PROJECT") == "YOUR_PROJECT_ID"
    settings = ["gcp:project=my-project-1", f"acceptLicence={given.pop('LICENCE')}"]
    settings += given.pop("ARGS", "").split()
    assert own_stack.write(given.pop("STACK"), given.pop("FROM"), settings) == "Pulumi.mine.yaml"
    assert not given


def test_what_a_setting_misses_is_named_as_make_takes_it(folder: Path) -> None:
    for left, variable in ((1, "PROJECT="), (0, 'LICENCE="CreativeML Open RAIL-M"')):
        settings = NEEDED[1:] if left else NEEDED[:2]
        with pytest.raises(OwnStackError, match=f"; give make {variable}"):
            own_stack.write("mine", "dev", settings)


@pytest.mark.parametrize("stack", ["dev", "prod"])
@pytest.mark.parametrize("key", ["gcp:project", "allowedSourceRanges", "acceptLicence"])
def test_a_committed_stack_without_ones_own_settings_says_how_to_make_ones_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stack: str, key: str
) -> None:
    monkeypatch.setattr("pulumi.get_stack", lambda: stack)
    said = str(SettingsError(key, "is missing", "x"))
    (command,) = re.findall(r"Make a stack of your own: `make stack (.*)`$", said)
    assert "\n" not in said
    name, source, *variables = shlex.split(command)
    assert (name, source) == ("STACK=mine", f"FROM={stack}")
    keys = {text.partition("=")[0]: key for key, text in project_file.MAKE_VARIABLES.items()}
    given = [f"{keys[name]}={value}" for name, _, value in (v.partition("=") for v in variables)]
    assert own_stack.write("mine", stack, given) == "Pulumi.mine.yaml"
    monkeypatch.setattr("pulumi.get_stack", lambda: "mine")
    assert "In Pulumi.mine.yaml, under" in str(SettingsError(key, "is missing", "x"))


def test_the_stack_on_this_machine_accepts_a_licence_in_its_own_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulumi.get_stack", lambda: "local")
    assert "In Pulumi.local.yaml, under" in str(SettingsError("acceptLicence", "is not x", "x"))


SETTINGS = {"gcp:project": "p", f"{PROJECT}:spot": "false", f"{PROJECT}:zones": "yes"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "# about\nconfig:\n  # the pool\n  diffusion-serving:spot: true  # cheap\n",
            "# about\nconfig:\n  # the pool\n  diffusion-serving:spot: false  # cheap\n"
            '  gcp:project: "p"\n  diffusion-serving:zones: "yes"\n',
        ),
        (
            "encryptionsalt: v1:x:y\nconfig:\n    spot: 'true'",
            'config:\n    spot: false\n    gcp:project: "p"\n    diffusion-serving:zones: "yes"\n',
        ),
        (
            'config:\n  "gcp:project": other\n  a: |\n    two\n    lines\nsecretsprovider: gcpkms://k\n',
            'config:\n  "gcp:project": "p"\n  a: |\n    two\n    lines\n'
            '  diffusion-serving:spot: false\n  diffusion-serving:zones: "yes"\n',
        ),
    ],
)
def test_settings_are_changed_in_place_and_added_below_the_others(text: str, expected: str) -> None:
    assert changed(text, SETTINGS, PROJECT) == expected
    assert yaml.safe_load(expected)["config"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "config:\n",
        "config: {a: 1}\n",
        "- a\n",
        "config:\n  gcp:token:\n    secure: v1:a:b\n",
        "config:\n  a:\n    - 1\n",
    ],
)
def test_a_file_with_secrets_or_written_in_another_way_is_not_copied(text: str) -> None:
    with pytest.raises(OwnStackError, match=r"the copied file (has no settings|is a secret)"):
        changed(text, SETTINGS, PROJECT)


@pytest.mark.parametrize("value", ["", "a: b # c", 'with "quotes"', "1e3", "no", "007", "ü\n{x}"])
def test_any_text_is_written_so_that_it_reads_back(value: str) -> None:
    text = changed("config:\n  a: 1\n", {"gcp:project": value}, PROJECT)
    assert yaml.safe_load(text)["config"]["gcp:project"] == value


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_a_stack_of_ones_own_and_no_committed_one() -> None:
    names = ["Pulumi.yaml", "Pulumi.mine.yaml", *(f"Pulumi.{stack}.yaml" for stack in STACKS)]
    command = ["git", "check-ignore", "--no-index", *names]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["Pulumi.mine.yaml"]


def test_no_document_puts_settings_into_a_committed_file() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for line in re.findall(r"pulumi config set .*", document.read_text(encoding="utf-8")):
            assert "--stack mine" in line, f"{document.name}: {line}"
