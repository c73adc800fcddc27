"""`make key`: a key is drawn, stored as a secret by the Pulumi CLI, and printed once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.settings import keys, new_key, project_file
from infra.settings.values import SettingsError

GKE = "config:\n  diffusion-serving:target: gke\n"
ALICE = GKE + "  diffusion-serving:apiKeys:\n    alice:\n      secure: v1:abc\n"

PULUMI = """\
#!/bin/sh
printf '%s\\n' "$@" > "$0.arguments"
cat > "$0.input"
[ ! -f "$0.refuses" ] || { cat "$0.refuses" >&2; exit 255; }
"""


class Pulumi:
    """A stand-in on PATH, which keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pulumi"
        self.path.write_text(PULUMI)
        self.path.chmod(0o755)

    def refuse(self, text: str) -> None:
        Path(f"{self.path}.refuses").write_text(text)

    @property
    def was_called(self) -> bool:
        return Path(f"{self.path}.arguments").exists()

    @property
    def arguments(self) -> list[str]:
        return Path(f"{self.path}.arguments").read_text().splitlines()

    @property
    def input(self) -> str:
        return Path(f"{self.path}.input").read_text()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's file and the file of a stack `mine`."""
    (tmp_path / "Pulumi.yaml").write_text("name: diffusion-serving\n")
    (tmp_path / "Pulumi.mine.yaml").write_text(GKE)
    monkeypatch.setattr(project_file, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def pulumi(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return Pulumi(folder)


def run(*arguments: str) -> int:
    return new_key.main(["--stack", "mine", *arguments])


def test_a_key_is_stored_as_a_secret_through_the_input_alone_and_printed_once(
    checkout: Path, pulumi: Pulumi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--name", "alice") == 0
    key = pulumi.input
    assert pulumi.arguments == [
        *("config", "set", "--secret", "--path", 'apiKeys["alice"]'),
        *("--stack", "mine", "--non-interactive"),
    ]
    printed = capsys.readouterr()
    assert (printed.out.count(key), printed.err) == (1, "")
    assert printed.out.splitlines()[0] == f"key   {key}"
    assert printed.out.splitlines()[-1] == "next  make up STACK=mine"
    assert not any(key in file.read_text() for file in checkout.iterdir())
    said = [printed.out.replace(key, ""), *pulumi.arguments]
    assert not [text for text in said if re.search(r"…|[{}<>]|STACK=(?!mine)|\bNone\b", text)]


def test_each_key_is_another_one_that_the_settings_accept(checkout: Path, pulumi: Pulumi) -> None:
    drawn = {new_key.store("mine", "alice", rotate=False) for _ in range(3)}
    assert len(drawn) == 3 and {len(key) for key in drawn} == {32}
    for key in drawn:
        (parsed,) = keys.parse({"apiKeys": f'{{"alice": "{key}"}}'})
        assert parsed.name == "alice"


def test_a_key_that_is_there_is_replaced_only_when_told_to_rotate(
    checkout: Path, pulumi: Pulumi, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "Pulumi.mine.yaml").write_text(ALICE)
    assert run("--name", "alice") == 1
    expected = "error: alice has a key; to put another in its place: ROTATE=1\n"
    assert capsys.readouterr().err == expected
    assert not pulumi.was_called
    assert run("--name", "alice", "--rotate") == 0
    assert run("--name", "bob") == 0


@pytest.mark.parametrize(
    "name",
    ["alice", "a", "0", "a-1", "secure-1", "secured", "a" * 40, *("secure", "Alice", "a_b", "-a")],
)
def test_a_name_that_gets_a_key_is_one_that_the_settings_take_and_no_other(
    checkout: Path, pulumi: Pulumi, name: str
) -> None:
    def is_taken() -> bool:
        try:
            return bool(keys.parse({"apiKeys": f'{{"{name}": "in-place-of-a-key-to-come"}}'}))
        except SettingsError:
            return False

    assert (run(f"--name={name}") == 0) == is_taken()


@pytest.mark.parametrize("name", ["", "Alice", "al ice", "a.b", "-a", "a" * 41, "secure", 'a"]'])
def test_a_name_that_is_none_is_refused_with_an_example(
    checkout: Path, pulumi: Pulumi, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(f"--name={name}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "NAME=alice" in line
    assert not pulumi.was_called


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("config: {}\n", "error: stack mine asks for no keys: name one on GKE, such as STACK=mine"),
        (
            GKE + "  diffusion-serving:apiKeys:\n    secure: v1:abc\n",
            "error: apiKeys in Pulumi.mine.yaml is a single secret: ",
        ),
    ],
)
def test_a_stack_that_keeps_no_keys_by_name_is_refused(
    checkout: Path, pulumi: Pulumi, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (checkout / "Pulumi.mine.yaml").write_text(text)
    assert run("--name", "alice") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(says)
    assert not pulumi.was_called


def test_what_pulumi_says_against_it_is_one_line_without_the_key(
    checkout: Path, pulumi: Pulumi, capsys: pytest.CaptureFixture[str]
) -> None:
    pulumi.refuse("error: no stack named 'mine' found\nwarning: A new version is available\n")
    assert run("--name", "alice") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: pulumi did not store the key: no stack named 'mine' found\n"


def test_without_the_cli_it_says_where_to_get_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert run("--name", "alice") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "install the CLI from https://www.pulumi.com/docs/install/" in line
