"""Consoles that are not UTF-8: whatever a command line prints, it does not fail."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from client.command_line.progress import shown
from client.pictures.picture import slug
from tests.client.fake_serving import FakeServing
from tests.processes import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
WORD = "grün-赤い円"
CONSOLES = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
PROGRAM = """\
import pulumi
print("printed: GREEN")
pulumi.log.info("logged: GREEN")
pulumi.export("word", "GREEN")
"""


@pytest.fixture
def server() -> Iterator[FakeServing]:
    serving = FakeServing()
    yield serving
    serving.close()


@pytest.fixture(params=CONSOLES)
def console(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables that make a process's console another than UTF-8."""
    return CONSOLES[request.param]


def run(
    console: dict[str, str], folder: Path, *arguments: str | bytes, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """`python -m …` in `folder`, with this checkout's modules."""
    hidden = ("LC_", "LANG", "PYTHON", "PULUMI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **console, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


def one_line(output: bytes) -> bytes:
    (line,) = output.splitlines()
    return line


def test_the_client_draws_a_prompt_as_typed_and_shows_it(
    console: dict[str, str], tmp_path: Path, server: FakeServing
) -> None:
    ran = run(console, tmp_path, "client", "generate", WORD, "--endpoint", server.endpoint)
    assert ran.returncode == 0, ran.stderr
    (row,) = server.rows
    assert row["prompt"] == WORD
    (picture,) = (tmp_path / "out").iterdir()
    shown = run(console, tmp_path, "client", "show", os.fsencode(picture))
    assert shown.returncode == 0, shown.stderr
    assert b"prompt" in shown.stdout and b"\\u8d64\\u3044\\u5186" in shown.stdout


def test_a_prompt_that_is_not_text_is_one_line(
    console: dict[str, str], tmp_path: Path, server: FakeServing
) -> None:
    ran = run(console, tmp_path, "client", "generate", b"a \xff", "--endpoint", server.endpoint)
    assert ran.returncode != 0
    assert one_line(ran.stderr).startswith(b"error: the prompt is not valid UTF-8")


@pytest.mark.parametrize("command", ["inspect", "verify", "clean"])
def test_the_exporter_reads_a_folder_of_any_name(
    console: dict[str, str], tmp_path: Path, command: str
) -> None:
    folder = tmp_path / WORD
    folder.mkdir()
    for location in (os.fsencode(folder), folder.as_uri()):
        ran = run(console, tmp_path, "model_export", command, location)
        if command == "clean":
            assert ran.stdout == b"removed nothing\n"
        else:
            assert b"gr%C3%BCn-" in one_line(ran.stderr)


def test_the_exporter_describes_a_model_with_a_negative_prompt_in_any_language(
    console: dict[str, str], tmp_path: Path
) -> None:
    manifest = {
        "format": 1,
        "fingerprint": "0123456789abcdef",
        "exporter_version": 1,
        "spec": {"negative_prompt": WORD},
        "weights_sha256": "00",
        "versions": {},
        "parameter_count": 1,
        "licence": WORD,
        "signatures": {},
        "files": [],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    ran = run(console, tmp_path, "model_export", "inspect", ".")
    assert b"Traceback" not in ran.stderr
    assert b"\\u8d64\\u3044\\u5186" in ran.stdout


def test_render_writes_to_a_folder_of_any_name(console: dict[str, str], tmp_path: Path) -> None:
    ran = run(console, tmp_path, "render", "--stack", "local", "--out", os.fsencode(WORD))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / WORD / "resources.json").exists()


def test_the_engine_runs_a_program_that_prints_in_any_language(
    console: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / WORD
    folder.mkdir()
    (folder / "__main__.py").write_text(PROGRAM.replace("GREEN", WORD), encoding="utf-8")
    (folder / "Pulumi.yaml").write_text(
        f"name: colours\nruntime: python\ndescription: {WORD}\n", encoding="utf-8"
    )
    backend = {
        "PULUMI_BACKEND_URL": "file://state",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_HOME": str(tmp_path / "home"),
    }
    (folder / "state").mkdir()
    for command in ("stack select --create dev", "up --yes", "stack output word"):
        ran = run(console, folder, "engine", *command.split(), **backend)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert b"Traceback" not in ran.stderr
        if command == "up --yes":
            assert b"printed: gr" in ran.stdout and b"logged: gr" in ran.stdout
    assert b"\\u8d64\\u3044\\u5186" in ran.stdout


@pytest.mark.parametrize(("encoding", "is_ascii"), [("ascii", True), ("utf-8", False)])
def test_a_spinner_has_characters_that_the_console_can_show(encoding: str, is_ascii: bool) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    shown_at = io.BytesIO()
    terminal = Terminal(shown_at, encoding=encoding, errors="backslashreplace")
    with mock.patch.dict(os.environ, TERM="xterm"), shown(lambda: "drawing", terminal, 0.0):
        wait_until(lambda: b"drawing" in shown_at.getvalue(), "the spinner")
    assert b"\\u" not in shown_at.getvalue()
    assert shown_at.getvalue().isascii() == is_ascii


def test_a_picture_is_named_by_the_letters_that_file_names_here_can_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert slug("ein grüner Kreis") == "ein-grüner-kreis"

    def ascii_only(name: str) -> bytes:
        return name.encode("ascii")

    monkeypatch.setattr(os, "fsencode", ascii_only)
    assert slug("ein grüner Kreis, 赤") == "ein-gr-ner-kreis"


def test_a_provider_prints_a_folder_of_any_name(console: dict[str, str], tmp_path: Path) -> None:
    """Under the official engine, too, whose provider is not one of our command lines."""
    (tmp_path / "provider.py").write_text(
        f"from console import say\nsay('{WORD}')\n", encoding="utf-8"
    )
    ran = run(console, tmp_path, "provider")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(b"gr")
