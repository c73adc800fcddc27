"""The Makefile by itself: what a user types reaches the programs, as typed.

Older versions of GNU make are tried where they are on PATH as `make-3.81` and `make-4.2`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

SYSTEM_PATH = "/usr/bin:/bin"

# Stands in for .venv/bin/python, pulumi, and the Python that makes a virtual environment.
STUB = """\
#!/bin/sh
[ "$1" = -c ] && exit 0
[ "$1 $2" = "-m venv" ] && mkdir -p .venv/bin && cp "$0" .venv/bin/python && exit
printf '%s\\0' "${0##*/}" "$@" "backend $PULUMI_BACKEND_URL" end >> calls
"""

TEXTS = (
    "a $5 bill, $$, $HOME, ${HOME}, $(HOME) and $(PROMPT)",
    "$(shell touch touched) `touch touched` $$(touch touched)",
    "it's a \"quoted\" 'text', isn't it?",
    "'; touch touched; echo '",
    'C:\\new\\\\folder\\"; touch touched',
    "two\nlines\\\n$5",
    "# no comment \\# here",
    "--help",
    "-",
    "ein grüner Kreis, 赤い円 🔴",
    "100 % (of $(,) 5, 6) = $@ $< %.c ; & | > touched < * ? [a-z] ~ ! ^",
    "ends with a backslash \\",
    "",
)


@dataclass(frozen=True)
class Folder:
    """A folder with the Makefile and stubs, and the make to run in it."""

    path: Path
    make: str

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`make …` with this environment alone."""
        (self.path / "calls").unlink(missing_ok=True)
        path = f"{self.path / 'bin'}:{SYSTEM_PATH}"
        return subprocess.run(
            [self.make, *arguments],
            cwd=self.path,
            env={"PATH": path, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def calls(self, *arguments: str, **environment: str) -> list[list[str]]:
        """The commands that `make …` ran, each with the backend that it saw."""
        result = self.run(*arguments, **environment)
        assert result.returncode == 0, result.stderr
        text = (self.path / "calls").read_text(encoding="utf-8")
        return [call.split("\0") for call in text.removesuffix("\0end\0").split("\0end\0")]

    def stub(self, name: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(STUB, encoding="utf-8")
        file.chmod(0o755)
        return file


@pytest.fixture(params=["make", "make-3.81", "make-4.2"])
def make(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not on PATH")
    return found


def folder_with_makefile(path: Path, make: str) -> Folder:
    folder = Folder(path, make)
    folder.stub(".venv/bin/python")
    for name in ("Makefile", "requirements.txt", "constraints.txt"):
        shutil.copy2(ROOT / name, path / name)
    (path / ".venv/.installed").touch()
    return folder


@pytest.fixture
def folder(tmp_path: Path, make: str) -> Folder:
    path = tmp_path / "checkout"
    path.mkdir()
    return folder_with_makefile(path, make)


@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_arrives_as_typed(folder: Folder, text: str) -> None:
    (call,) = folder.calls("generate", f"PROMPT={text}")
    assert call[1:-1] == ["-m", "client", "generate", "--stack", "local", f"--prompt={text}"]
    assert not (folder.path / "touched").exists()


@pytest.mark.parametrize("text", TEXTS)
def test_plain_make_shows_a_prompt_as_typed(folder: Folder, text: str) -> None:
    result = folder.run(f"PROMPT={text}")
    assert result.returncode == 0
    assert result.stdout.endswith(f'PROMPT="{text}"\n')
    assert not (folder.path / "touched").exists()


def test_a_prompt_is_not_expanded_by_a_make_that_make_starts(folder: Folder) -> None:
    (folder.path / ".state").mkdir()
    with (folder.path / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write("again:\n\t@$(MAKE) --no-print-directory generate\n")
    for text in TEXTS:
        (call,) = folder.calls("again", f"PROMPT={text}")
        assert call[6] == f"--prompt={text}"
        folder.run("down", f"PROMPT={text}")
        folder.run("-n", "up", f"PROMPT={text}")
        assert not (folder.path / "touched").exists()


def test_arguments_are_words_for_the_shell_and_not_expanded_by_make(folder: Folder) -> None:
    arguments = """ARGS=--seed 7 --negative-prompt 'a $5 $(shell touch touched)' --out "b c" """
    (call,) = folder.calls("generate", arguments)
    given = ["--seed", "7", "--negative-prompt", "a $5 $(shell touch touched)", "--out", "b c"]
    assert call[7:-1] == given
    assert not (folder.path / "touched").exists()


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_a_folder_and_a_path_are_text_too(folder: Folder, text: str) -> None:
    (call,) = folder.calls("render", f"OUT={text}")
    assert call[1:-1] == ["-m", "render", "--stack=local", f"--out={text}"]
    (call,) = folder.calls("dashboard", f"OUT={text}")
    assert call[1:-1] == ["-m", "dashboards", f"--out={text}"]
    folder.run("setup", f"FOUND_PYTHON={text}")
    folder.run("logs", f"FOLLOW={text}")
    assert not (folder.path / "touched").exists()


def test_logs_shows_the_ends_of_the_logs_that_there_are_with_their_names(folder: Folder) -> None:
    assert folder.run("logs").stdout.startswith("there is no log; ")
    for name in ("server", "web"):
        log = folder.path / f".state/{name}/{name}.log"
        log.parent.mkdir(parents=True)
        log.write_text("".join(f"{name} {line}\n" for line in range(200)))
    shown = folder.run("logs").stdout.splitlines()
    for name in ("server", "web"):
        begin = shown.index(f"==> .state/{name}/{name}.log <==") + 1
        assert shown[begin : begin + 100] == [f"{name} {line}" for line in range(100, 200)]
    (folder.path / ".state/server/server.log").unlink()
    assert folder.run("logs").stdout.splitlines() == [f"web {line}" for line in range(100, 200)]


def test_a_stack_of_ones_own_is_made_from_dev_with_the_given_settings(folder: Folder) -> None:
    arguments = ("STACK=mine", "PROJECT=my-project", "RANGES=203.0.113.7/32", "LICENCE=Open  RAIL")
    (call,) = folder.calls("stack", *arguments, "ARGS=spot=false steps='30'", "ENGINE=pulumi")
    assert call[1:-1] == [
        *("-m", "infra.settings.own_stack", "--stack=mine", "--from=dev"),
        *("gcp:project=my-project", "allowedSourceRanges=203.0.113.7/32"),
        *("acceptLicence=Open  RAIL", "spot=false", "steps=30"),
    ]
    (call,) = folder.calls("stack", "STACK=mine", "FROM=prod")
    assert call[3:-1] == ["--stack=mine", "--from=prod"]


def test_nobody_is_asked_for_ranges_since_a_stack_is_private_by_default(folder: Folder) -> None:
    folder.stub("bin/pulumi")
    missing = folder.run("up", "STACK=mine", "ENGINE=pulumi")
    assert "make stack STACK=mine FROM=dev PROJECT=... LICENCE=..." in missing.stdout
    assert "RANGES" not in missing.stdout + folder.run("help").stdout


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_the_settings_of_a_stack_of_ones_own_are_text_too(folder: Folder, text: str) -> None:
    given = {name: f"{name}={text}" for name in ("STACK", "FROM", "PROJECT", "RANGES", "LICENCE")}
    (call,) = folder.calls("stack", *given.values())
    assert call[3:-1] == [
        *(f"--stack={text}", f"--from={text}", f"gcp:project={text}"),
        *(f"allowedSourceRanges={text}", f"acceptLicence={text}"),
    ]
    assert not (folder.path / "touched").exists()


@pytest.mark.parametrize("target", ["up", "preview", "key"])
@pytest.mark.parametrize("stack", ["mine", "ada/mine"])
def test_a_stack_without_a_file_is_not_deployed(folder: Folder, target: str, stack: str) -> None:
    folder.stub("bin/pulumi")
    result = folder.run(target, f"STACK={stack}")
    assert result.returncode != 0
    (line,) = result.stdout.splitlines()
    assert line.startswith("error: there is no Pulumi.mine.yaml; make it with your settings: ")
    assert f"make stack STACK={stack} FROM=dev " in line
    assert not (folder.path / "calls").exists()
    (folder.path / "Pulumi.mine.yaml").touch()
    assert folder.calls(target, f"STACK={stack}")[0][0] == "python"


@pytest.mark.parametrize("target", ["down", "refresh"])
def test_a_mistyped_stack_is_not_made_to_be_taken_down(folder: Folder, target: str) -> None:
    pulumi = folder.stub("bin/pulumi")
    missing = """[ "$*" = 'stack select --stack mien' ] && echo "error: no stack" >&2 && exit 6\n"""
    pulumi.write_text(STUB.replace("printf", missing + "printf"), encoding="utf-8")
    result = folder.run(target, "STACK=mien")
    assert result.returncode != 0
    assert "`pulumi stack ls` lists those of the backend" in result.stdout
    assert "pulumi" not in (folder.path / "calls").read_text(encoding="utf-8").split("\0")


def test_a_key_is_drawn_for_a_name_once_its_stack_exists(folder: Folder) -> None:
    folder.stub("bin/pulumi")
    (folder.path / "Pulumi.mine.yaml").touch()
    committed, made, drawn = folder.calls("key", "STACK=mine", "NAME=alice", NAME="a-host")
    assert committed[1:-1] == ["-m", "infra.settings.committed", "--stack", "mine"]
    assert made[:-1] == ["pulumi", "stack", "select", "--create", "--stack", "mine"]
    key = ["-m", "infra.settings.new_key", "--stack", "mine"]
    assert drawn[1:-1] == [*key, "--name=alice"]
    *_, rotated = folder.calls("key", "STACK=mine", "NAME=alice", "ROTATE=1")
    assert rotated[1:-1] == [*key, "--name=alice", "--rotate"]
    *_, unnamed = folder.calls("key", "STACK=mine", NAME="a-host", ROTATE="1")
    assert unnamed[1:-1] == [*key, "--name="]


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_the_name_of_a_key_is_text_too(folder: Folder, text: str) -> None:
    *_, drawn = folder.calls("key", f"NAME={text}", f"ROTATE={text}")
    assert drawn[1:-1] == [
        *("-m", "infra.settings.new_key", "--stack", "local", f"--name={text}", "--rotate"),
    ]
    assert not (folder.path / "touched").exists()


@pytest.mark.parametrize("target", ["up", "preview"])
def test_a_deployment_makes_its_stack(folder: Folder, target: str) -> None:
    folder.stub("bin/pulumi")
    (folder.path / "Pulumi.mine.yaml").touch()
    calls = [call[:-1] for call in folder.calls(target, "STACK=mine")]
    assert ["pulumi", "stack", "select", "--create", "--stack", "mine"] in calls


@pytest.mark.parametrize("target", ["generate", "status", "up", "down", "preview", "doctor"])
def test_a_stack_that_is_no_name_is_refused_in_one_line(folder: Folder, target: str) -> None:
    for text in TEXTS:
        result = folder.run(target, f"STACK={text}", "ENGINE=pulumi")
        assert result.returncode != 0
        (line,) = result.stdout.splitlines()
        assert line.startswith("error: STACK must be the name of a stack")
        assert not (folder.path / "touched").exists()
        assert not (folder.path / "calls").exists()


def test_an_engine_that_there_is_not_is_refused_in_one_line(folder: Folder) -> None:
    for text in TEXTS:
        if text:
            result = folder.run("up", f"ENGINE={text}")
            assert result.returncode != 0
            (line,) = result.stderr.splitlines()
            assert "ENGINE must be pulumi or embedded" in line
            assert not (folder.path / "touched").exists()


def test_exported_variables_of_other_programs_are_not_settings(folder: Folder) -> None:
    foreign = {
        "STACK": "dev",
        "PROMPT": "%n@%m %~ $(touch touched) ",
        "ARGS": "--count 9",
        "ENGINE": "diesel",
        "OUT": "elsewhere",
        "FROM": "ada@example.org",
        "PROJECT": "another-project",
        "RANGES": "0.0.0.0/0",
        "LICENCE": "MIT",
        "FOLLOW": "1",
        "WORKERS": "64",
        "FOUND_PYTHON": "/none",
    }
    for target in ("generate", "load", "render", "stack", "preview", "up"):
        assert folder.calls(target, **foreign) == folder.calls(target)
        assert folder.calls("-e", target, **foreign) == folder.calls(target)
    assert folder.run(**foreign).stdout == folder.run().stdout
    assert "64" not in folder.run("-n", "test", **foreign).stdout


def test_the_official_cli_on_path_is_used(folder: Folder) -> None:
    folder.stub("bin/pulumi")
    programs = [call[0] for call in folder.calls("preview")]
    assert programs[-1] == "pulumi"
    assert "ENGINE=pulumi" in folder.run().stdout


def test_without_the_official_cli_the_embedded_engine_is_used_without_a_word(
    folder: Folder,
) -> None:
    if shutil.which("pulumi", path=SYSTEM_PATH):
        pytest.skip("the official pulumi CLI is among the system's programs")
    result = folder.run()
    assert "ENGINE=embedded" in result.stdout
    assert result.stderr == ""


def test_a_checkout_may_lie_in_a_folder_of_any_name(tmp_path: Path, make: str) -> None:
    path = tmp_path / "a b#c%20d$e'f\"(g)?"
    path.mkdir()
    folder = folder_with_makefile(path, make)
    call = folder.calls("preview")[-1]
    assert call[1:4] == ["-m", "engine", "preview"]
    base = str(tmp_path)
    assert call[-1] == f"backend file://{base}/a b%23c%2520d$e'f\"(g)%3F/.state"


def test_a_virtual_environment_whose_python_is_gone_is_made_again(
    folder: Folder, tmp_path: Path
) -> None:
    python = folder.path / ".venv/bin/python"
    python.unlink()
    python.symlink_to(tmp_path / "python3.11, removed by an update")
    found = folder.stub("bin/python3")

    calls = folder.calls("status", f"FOUND_PYTHON={found}")
    assert [call[1:3] for call in calls] == [["-m", "pip"], ["-m", "client"]]
    assert not python.is_symlink()


def test_a_virtual_environment_whose_python_was_replaced_gets_its_packages_again(
    folder: Folder,
) -> None:
    found = folder.stub("bin/python3")
    python = folder.path / ".venv/bin/python"
    sees_no_packages = STUB.replace("exit 0", 'case "$2" in *find_spec*) exit 1;; *) exit 0;; esac')
    python.write_text(sees_no_packages, encoding="utf-8")

    result = folder.run("setup", f"FOUND_PYTHON={found}")
    assert "does not find the packages" in result.stdout
    assert "-m\0pip" in (folder.path / "calls").read_text(encoding="utf-8")
    assert folder.run("setup").stdout.count("setting up") == 0


def test_a_shared_virtual_environment_is_left_alone_when_its_python_is_gone(
    folder: Folder, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    (folder.path / ".venv").rename(shared)
    (folder.path / ".venv").symlink_to(shared)
    (shared / "bin/python").unlink()
    (shared / "package").touch()

    folder.calls("status", f"FOUND_PYTHON={folder.stub('bin/python3')}")
    assert os.listdir(shared / "bin") == []  # noqa: PTH208
    assert (shared / "package").exists()
