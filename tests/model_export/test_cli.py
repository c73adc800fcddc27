"""`python -m model_export`: its output, its exit codes, and what an interruption leaves."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from model_export import owners, publish
from model_export.cli import main
from model_export.export import ExportError, stages
from model_export.locks import locked
from model_export.manifest import Manifest
from model_export.spec import WEIGHTS_LICENCE, ModelSpec
from model_export.staging import remove_abandoned, staging_folder
from model_export.storage import FileStorage, child_url
from tests.model_export.conftest import ROOT, TINY_SPEC, TINY_WEIGHTS_SHA256, StandInFamily
from tests.processes import LIMIT_SECONDS, wait_until

FINGERPRINT = TINY_SPEC.fingerprint(TINY_WEIGHTS_SHA256)
SPEC = json.dumps(TINY_SPEC.to_json())

Published = tuple[str, Manifest]


@pytest.fixture
def published(made_up_model: Callable[..., tuple[Path, Manifest]], tmp_path: Path) -> Published:
    folder, manifest = made_up_model()
    url = f"file://{tmp_path}/models/{manifest.fingerprint}"
    publish.publish(folder, manifest, FileStorage(url))
    return url, manifest


@pytest.fixture
def start(stand_in_family: StandInFamily) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command line in its own process."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "model_export", *arguments],
            cwd=ROOT,
            env=stand_in_family.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["export", "--steps", "500", "--to", "file:///x"], 2, "--steps: must be from 1 to 50"),
        (["export", "--sampler", "euler", "--to", "file:///x"], 2, "--sampler: must be one of"),
        (["export", "--guidance-scale", "nan", "--to", "file:///x"], 2, "--guidance-scale"),
        (["export", "--to", "models"], 2, "must start with file://"),
        (["export", "--to", "file:///a/../b"], 2, "must be a plain path"),
        (["fingerprint", "--spec", "{"], 2, "--spec: is not a JSON object"),
        (["fingerprint", "--spec", "3"], 2, "--spec: is not a JSON object"),
        (["fingerprint", "--spec", '{"colour": 1}'], 2, "--spec: has no key 'colour'"),
        (
            ["export", "--family", "sd14", "--to", "file:///x"],
            2,
            "--accept-licence: the weights have",
        ),
        (["verify", "s3://bucket/x"], 2, "must start with file:// or gs://"),
        (["verify", "file:///nowhere/x"], 1, "file:///nowhere/x does not exist"),
        (["delete", "file:///nowhere/x"], 1, "does not exist; nothing was deleted"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("model_export: ") and message in line


@pytest.mark.parametrize("arguments", [[], ["paint"], ["export"], ["export", "--steps", "x"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "python -m model_export export --to file:///srv/models" in text
    assert "exit codes: 0 done" in text


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_family: None
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["export", "--to", f"file://{tmp_path}/file/models"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Not a directory" in line


def test_verify_distinguishes_a_complete_model_from_a_damaged_one(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, manifest = published
    assert main(["verify", url]) == 0
    assert "is complete: 6 files, 31 bytes" in capsys.readouterr().out
    folder = tmp_path / "models" / manifest.fingerprint
    (folder / "1" / "saved_model.pb").write_text("GRAPH")
    (folder / "1" / "assets" / "words.txt").unlink()
    assert main(["verify", url]) == 1
    line = capsys.readouterr().err
    assert "1/saved_model.pb has a wrong checksum (and 1 more); export it again" in line


def test_inspect_describes_a_model(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, manifest = published
    owners.claim(FileStorage(url), "diffusion-serving/local/model", "1")
    folder = tmp_path / "models" / manifest.fingerprint
    assert main(["inspect", str(folder)]) == 0
    text = capsys.readouterr().out
    for expected in (
        url,
        f"fingerprint    {manifest.fingerprint}",
        "licence        Apache-2.0",
        "sampler        dpmpp_2m_trailing",
        "signature prompt",
        "in  prompt string[B]",
        "1/saved_model.pb",
        "needed by      diffusion-serving/local/model",
        "verdict        complete",
    ):
        assert expected in text
    assert main(["inspect", "--json", url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is True and document["problems"] == []
    assert document["manifest"]["signatures"]["prompt"]["inputs"] == {"prompt": "string[B]"}


def test_inspect_says_what_is_missing(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, manifest = published
    (tmp_path / "models" / manifest.fingerprint / "1" / "assets" / "words.txt").unlink()
    assert main(["inspect", url]) == 1
    captured = capsys.readouterr()
    assert "verdict        NOT COMPLETE\n    1/assets/words.txt is missing" in captured.out
    assert captured.err.endswith("1/assets/words.txt is missing; export it again\n")
    assert main(["verify", "--json", url]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == ["1/assets/words.txt is missing"]


def test_inspect_warns_of_random_weights(
    made_up_model: Callable[..., tuple[Path, Manifest]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, manifest = made_up_model()
    spec = ModelSpec.for_family("sd14", weights="random:5")
    manifest = dataclasses.replace(manifest, spec=spec)
    url = f"file://{tmp_path}/models/random"
    publish.publish(folder, manifest, FileStorage(url))
    assert main(["inspect", url]) == 0
    text = capsys.readouterr().out
    assert "THE WEIGHTS ARE RANDOM: this model draws noise" in text
    assert main(["inspect", "--json", url]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["randomWeights"] is True


def test_a_full_disk_is_reported_before_the_weights_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    arguments = ["--family", "sd14", "--weights", "random", "--to", f"file://{tmp_path}/models"]
    assert main(["export", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("needs 8.3 GB of disk space while it runs, and only 1.0 GB are free")
    assert list((tmp_path / "models").iterdir()) == []


SMALL_FILES_ONLY = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from model_export.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_while_saving_is_one_line_and_leaves_nothing(
    stand_in_family: StandInFamily, tmp_path: Path
) -> None:
    """A limit on file sizes stands in for a full disk: the same call of the runtime fails."""
    base = tmp_path / "models"
    arguments = ["export", "--spec", SPEC, "--to", f"file://{base}"]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_FILES_ONLY, *arguments],
        cwd=ROOT,
        env=stand_in_family.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("model_export:")]
    assert "cannot write " in line and line.endswith("; free some disk space")
    assert "Traceback" not in done.stderr
    assert list(base.iterdir()) == []


def test_delete_refuses_while_a_stack_uses_the_model(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = published
    owners.claim(FileStorage(url), "diffusion-serving/local/model", "1")
    assert main(["delete", url]) == 1
    assert "is in use by diffusion-serving/local/model" in capsys.readouterr().err
    assert main(["verify", url]) == 0
    assert main(["delete", "--force", url]) == 0
    assert list((tmp_path / "models").iterdir()) == []


def test_clean_removes_leftovers_but_no_complete_model(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, manifest = published
    base = tmp_path / "models"
    unfinished = FileStorage(child_url(f"file://{base}", "unfinished"))
    unfinished.write(manifest.to_bytes(), publish.PARTIAL_MANIFEST_NAME)
    unfinished.write(b"words", "1/assets/words.txt")
    with staging_folder(base) as alive:
        dead = alive.with_name(f"{alive.name.rsplit('-', 1)[0]}-{a_dead_pid()}")
    dead.mkdir()
    (base / f".{'0' * 16}.lock").touch()
    assert main(["clean", f"file://{base}"]) == 0
    assert {path.name for path in base.iterdir()} == {manifest.fingerprint}
    assert publish.problems(FileStorage(url)) == []
    assert dead.name in capsys.readouterr().out
    assert main(["clean", f"file://{base}/none"]) == 0


def test_the_fingerprint_follows_the_spec(
    capsys: pytest.CaptureFixture[str], tiny_family: None
) -> None:
    flags = [
        "--steps",
        "3",
        "--max-steps",
        "6",
        "--guidance-scale",
        "4",
        "--negative-prompt",
        "red",
    ]
    assert main(["fingerprint", "--spec", SPEC]) == 0
    assert main(["fingerprint", *flags]) == 0
    assert main(["fingerprint", "--spec", SPEC, "--sampler", "ddim"]) == 0
    first, second, third = capsys.readouterr().out.split()
    assert first == second == FINGERPRINT != third


@pytest.mark.parametrize("given", ["flag", "spec"])
def test_a_negative_prompt_that_the_model_would_cut_is_said(
    given: str, capsys: pytest.CaptureFixture[str], tiny_family: None
) -> None:
    text = "blurry, " * 40
    spec = json.dumps({"family": "demo", "negative_prompt": text})
    options = ["--negative-prompt", text] if given == "flag" else ["--spec", spec]
    assert main(["fingerprint", *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == (
        "warning: --negative-prompt: has 82 tokens, but the model reads only the first 77; "
        "shorten it\n"
    )
    assert len(captured.out) == 17
    assert main(["fingerprint", "--negative-prompt", "blurry, " * 37]) == 0
    assert capsys.readouterr().err == ""


def test_an_unexpected_fingerprint_stops_the_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_family: None
) -> None:
    arguments = ["export", "--to", f"file://{tmp_path}/m", "--expect-fingerprint", "0" * 16]
    assert main(arguments) == 1
    assert "changed in the meantime; run again" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_exporting_a_published_model_again_does_nothing(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_family: None
) -> None:
    url, _ = published
    assert main(["export", "--spec", SPEC, "--to", f"file://{tmp_path}/models"]) == 0
    assert capsys.readouterr().out == f"{url} is already published and complete\n"


@pytest.mark.slow
def test_an_export_publishes_a_complete_model_and_reports_its_progress(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    base = tmp_path / "models"
    out, err = start("export", "--spec", SPEC, "--to", f"file://{base}").communicate()
    lines = out.splitlines()
    said = [line.split(",")[0].split(" (")[0] for line in lines[:-1]]
    assert list(dict.fromkeys(said)) == [
        f"({i}/5) {stage.value}" for i, stage in enumerate(stages(TINY_SPEC), 1)
    ], err
    assert all(line.endswith("s left") for line in lines[:-1])
    assert lines[-1].startswith(f"exported file://{base}/{FINGERPRINT} (")
    assert publish.problems(FileStorage(f"file://{base}/{FINGERPRINT}")) == []
    assert [path.name for path in base.iterdir()] == [FINGERPRINT]


def stalled_export(
    start: Callable[..., subprocess.Popen[str]], family: StandInFamily, base: Path, *more: str
) -> subprocess.Popen[str]:
    family.gate.touch()
    process = start("export", "--spec", SPEC, "--to", f"file://{base}", *more)
    wait_until(lambda: family.reached.exists() or process.poll() is not None, "the export to begin")
    assert process.poll() is None, process.communicate()
    names = sorted(path.name for path in base.iterdir())
    assert names == [f".{FINGERPRINT}.lock", names[1]] and names[1].startswith(".export-")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_export_leaves_nothing(
    number: signal.Signals,
    start: Callable[..., subprocess.Popen[str]],
    stand_in_family: StandInFamily,
    tmp_path: Path,
) -> None:
    process = stalled_export(start, stand_in_family, tmp_path / "models")
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
    assert err.splitlines() == ["model_export: interrupted: nothing was left behind"]
    assert list((tmp_path / "models").iterdir()) == []


def test_an_interruption_while_publishing_deletes_what_was_sent(
    made_up_model: Callable[..., tuple[Path, Manifest]],
    tmp_path: Path,
    tiny_family: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, manifest = made_up_model()

    def stop(_storage: FileStorage, source: Path, path: str) -> None:
        if path.endswith("saved_model.pb"):
            raise KeyboardInterrupt
        put(_storage, folder / path, path)

    put = FileStorage.put
    monkeypatch.setattr(FileStorage, "put", stop)
    monkeypatch.setattr("model_export.export_once.export", lambda *_args, **_options: manifest)
    assert main(["export", "--spec", SPEC, "--to", f"file://{tmp_path}/models"]) == 130
    assert "nothing was left behind" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("what", ["the staging folder", "what was sent"])
def test_an_interruption_reports_what_it_could_not_delete(
    what: str,
    made_up_model: Callable[..., tuple[Path, Manifest]],
    tmp_path: Path,
    tiny_family: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, manifest = made_up_model()
    put = FileStorage.put

    def stop(storage: FileStorage, _source: Path, path: str) -> None:
        if path.endswith("saved_model.pb"):
            raise KeyboardInterrupt
        put(storage, folder / path, path)

    def stop_again(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileStorage, "put", stop)
    monkeypatch.setattr("model_export.export_once.export", lambda *_args, **_options: manifest)
    if what == "what was sent":
        monkeypatch.setattr(FileStorage, "delete", stop_again)
    else:
        monkeypatch.setattr("model_export.staging.shutil.rmtree", stop_again)
    base = tmp_path / "models"
    assert main(["export", "--spec", SPEC, "--to", f"file://{base}"]) == 130
    (left,) = base.iterdir()
    place = f"file://{left}" if what == "what was sent" else left
    line = f"model_export: interrupted: left behind: {place}; export it again\n"
    assert capsys.readouterr().err == line


def test_an_interruption_in_the_middle_of_a_file_leaves_no_part_of_it(
    made_up_model: Callable[..., tuple[Path, Manifest]],
    tmp_path: Path,
    tiny_family: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, manifest = made_up_model()
    kept = tmp_path / "models" / FINGERPRINT / "1" / ".words.txt.part"

    def stop(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("model_export.storage.os.fsync", stop)
    monkeypatch.setattr("model_export.export_once.export", lambda *_args, **_options: manifest)
    assert main(["export", "--spec", SPEC, "--to", f"file://{tmp_path}/models"]) == 130
    assert capsys.readouterr().err == "model_export: interrupted: nothing was left behind\n"
    assert list((tmp_path / "models").iterdir()) == []

    kept.parent.mkdir(parents=True)
    kept.touch()  # of somebody else's interrupted upload
    assert main(["export", "--spec", SPEC, "--to", f"file://{tmp_path}/models"]) == 130
    assert f"left behind: {kept.parents[1].as_uri()}; export it again" in capsys.readouterr().err


def test_an_interruption_after_the_manifest_says_that_the_model_is_published(
    made_up_model: Callable[..., tuple[Path, Manifest]],
    tmp_path: Path,
    tiny_family: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepared, manifest = made_up_model()

    def stop(_storage: FileStorage) -> None:
        raise KeyboardInterrupt

    def export(_spec: ModelSpec, folder: Path, **_options: object) -> Manifest:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        return manifest

    monkeypatch.setattr(FileStorage, "remove_empty_folders", stop)
    monkeypatch.setattr("model_export.export_once.export", export)
    url = f"file://{tmp_path}/models/{FINGERPRINT}"
    assert main(["export", "--spec", SPEC, "--to", f"file://{tmp_path}/models"]) == 130
    line = f"interrupted: {url} was already published and is complete"
    assert capsys.readouterr().err == f"model_export: {line}\n"
    assert publish.problems(FileStorage(url)) == []


@pytest.mark.parametrize("name", ["kcv_encoder.h5", "kcv_encoder.h5.part"])
def test_an_interrupted_download_says_that_it_stays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()

    def stop(*_args: object, **_options: object) -> None:
        (cache / name).touch()
        raise KeyboardInterrupt

    monkeypatch.setenv("DIFFUSION_SERVING_CACHE", str(cache))
    monkeypatch.setattr("model_export.export_once.export", stop)
    model = ["--family", "sd14", "--accept-licence", WEIGHTS_LICENCE]
    assert main(["export", *model, "--to", f"file://{tmp_path}/models"]) == 130
    line = f"interrupted: nothing was left behind but what was downloaded to {cache}"
    assert capsys.readouterr().err == f"model_export: {line}\n"


def test_an_interruption_of_anything_else_claims_nothing(
    published: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = published

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileStorage, "delete", stop)
    assert main(["delete", url]) == 130
    assert capsys.readouterr().err == "model_export: interrupted\n"


def test_a_killed_export_leaves_one_folder_that_the_next_one_removes(
    start: Callable[..., subprocess.Popen[str]], stand_in_family: StandInFamily, tmp_path: Path
) -> None:
    base = tmp_path / "models"
    process = stalled_export(start, stand_in_family, base)
    process.kill()
    process.wait(LIMIT_SECONDS)
    (left,) = base.glob(".export-*")
    assert not (left / "manifest.json").exists()
    storage = FileStorage(f"file://{base}/{FINGERPRINT}")
    with locked(storage, pytest.fail), staging_folder(base) as staging:
        assert list(base.glob(".export-*")) == [staging]
    assert list(base.iterdir()) == []


def test_an_export_ends_when_its_parent_is_gone(
    start: Callable[..., subprocess.Popen[str]], stand_in_family: StandInFamily, tmp_path: Path
) -> None:
    base = tmp_path / "models"
    process = stalled_export(start, stand_in_family, base, "--exit-with-parent")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LIMIT_SECONDS) == 130
    assert list(base.iterdir()) == []


def test_folders_of_running_exports_and_of_other_machines_are_left_alone(tmp_path: Path) -> None:
    with staging_folder(tmp_path) as own:
        prefix = own.name.rsplit("-", 1)[0]
        running = tmp_path / f"{prefix}-{os.getppid()}"
        elsewhere = tmp_path / f".export-another.host-{a_dead_pid()}"
        mine = tmp_path / f"{prefix}-notes"
        no_id = tmp_path / f"{prefix}-{10**30}"
        dead = tmp_path / f"{prefix}-{a_dead_pid()}"
        for folder in (running, elsewhere, mine, no_id, dead):
            folder.mkdir()
        own.rename(tmp_path / "kept")
        assert remove_abandoned(tmp_path) == [dead]
        assert all(folder.exists() for folder in (running, elsewhere, mine, no_id))


def test_a_folder_of_a_process_in_another_container_is_left_alone(tmp_path: Path) -> None:
    """Its process id is unknown here, but it holds a lock on its folder."""
    with staging_folder(tmp_path) as own:
        elsewhere = own.rename(own.with_name(f"{own.name.rsplit('-', 1)[0]}-{a_dead_pid()}"))
        assert remove_abandoned(tmp_path) == []
        assert elsewhere.exists()
    assert remove_abandoned(tmp_path) == [elsewhere]


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HEAVY = ("tensorflow", "keras", "numpy", "rich", "pulumi", "regex")


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("model_export.cli", ()),
        ("model_export.resource", ("pulumi", "rich", "numpy")),
        ("model_export.export", ()),
        ("model_export.samplers", ("numpy",)),
    ],
)
def test_importing_a_light_module_loads_nothing_heavy(
    module: str, allowed: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & sys.modules.keys()))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(out.split()) <= set(allowed)


def test_an_export_needs_no_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """kagglehub, which keras_cv imports, asks for one when it is imported."""

    def export(*_arguments: object, **_options: object) -> NoReturn:
        raise ExportError(f"the home folder is {os.path.expanduser('~')}")  # noqa: PTH111

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: {}[0])  # a user that the system does not know
    monkeypatch.setattr("model_export.export_once.export", export)
    assert main(["export", "--to", tmp_path.as_uri()]) == 1
    assert f"the home folder is {os.devnull}" in capsys.readouterr().err
