"""What `inspect`, `verify` and `delete` say of other exporters' models, and of what is no model.

To check or delete a model takes only its list of files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from model_export import owners, publish
from model_export.cli import main
from model_export.manifest import Manifest
from model_export.resource import ModelExportProvider
from model_export.storage import FileStorage
from tests.model_export.conftest import TINY_SPEC

Change = Callable[[dict[str, Any]], object]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def model(made_up_model: Callable[..., tuple[Path, Manifest]], tmp_path: Path) -> Path:
    folder, manifest = made_up_model()
    published = tmp_path / "models" / manifest.fingerprint
    publish.publish(folder, manifest, FileStorage(published.as_uri()))
    return published


def rewrite(model: Path, change: Change) -> None:
    document = json.loads((model / "manifest.json").read_bytes())
    change(document)
    (model / "manifest.json").write_text(json.dumps(document))


def only_files(document: dict[str, Any]) -> None:
    for key in set(document) - {"format", "files"}:
        del document[key]


UNDERSTOOD = {
    "a spec with another key": lambda d: d["spec"].update(colour="red"),
    "a spec with another sampler": lambda d: d["spec"].update(sampler="euler"),
    "a spec with values of other types": lambda d: d["spec"].update(steps="many", family=None),
    "a spec without today's keys": lambda d: d.update(spec={"size": 64}),
    "a spec that is no object": lambda d: d.update(spec=[1, 2]),
    "another field": lambda d: d.update(signatureNotes={"prompt": "text"}),
    "fewer fields": only_files,
    "fields of other types": lambda d: d.update(versions=[], parameterCount="1e9", licence=None),
    "signatures of another shape": lambda d: d["signatures"].update(describe={"takes": "query"}),
}


@pytest.mark.parametrize("change", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_a_model_of_another_exporter_is_listed_checked_and_deleted(
    change: Change, model: Path, capsys: Said
) -> None:
    rewrite(model, change)
    assert main(["inspect", str(model)]) == 0
    text = capsys.readouterr().out
    assert "1/saved_model.pb" in text and "verdict        complete" in text
    assert main(["inspect", "--json", str(model)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is True
    assert document["manifest"] == json.loads((model / "manifest.json").read_bytes())
    assert main(["verify", str(model)]) == 0
    (model / "1" / "saved_model.pb").write_text("GRAPH")
    assert main(["verify", str(model)]) == 1
    assert "1/saved_model.pb has a wrong checksum" in capsys.readouterr().err
    assert main(["delete", str(model)]) == 0
    assert not model.exists()


def test_what_a_newer_manifest_says_is_shown_as_far_as_it_is_understood(
    model: Path, capsys: Said
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["spec"]["colour"] = "red"
        document["signatures"]["describe"] = {
            "inputs": {"query": "string[B]"},
            "outputs": {"description": {"type": "string[B]"}},
        }

    rewrite(model, change)
    assert main(["inspect", str(model)]) == 0
    text = capsys.readouterr().out
    for expected in (
        "colour         red",
        "sampler        dpmpp_2m_trailing",
        "signature describe",
        "in  query string[B]",
        "out description",
        "signature prompt",
    ):
        assert expected in text


def test_a_refresh_keeps_a_model_of_another_exporter_and_a_destroy_removes_it(model: Path) -> None:
    rewrite(model, lambda document: document["spec"].update(colour="red"))
    provider = ModelExportProvider()
    props = {
        "spec": TINY_SPEC.to_json(),
        "destination": model.parent.as_uri(),
        "fingerprint": model.name,
        "owner": "diffusion-serving/local/model",
    }
    created = provider.create(props)  # adopts it, without another export
    assert created.outs is not None
    assert (
        created.outs["manifestSha256"] == sha256((model / "manifest.json").read_bytes()).hexdigest()
    )
    assert provider.read(created.id, created.outs).id == created.id
    provider.delete(created.id, created.outs)
    assert list(model.parent.iterdir()) == []


MISUNDERSTOOD = {
    "another format": (lambda d: d.update(format=2), "manifest.json has format 2, not 1: use the"),
    "a format that is no number": (lambda d: d.update(format={"a": "b" * 99}), "has format {'a'"),
    "no list of files": (lambda d: d.pop("files"), "cannot be read"),
    "files that are no list": (lambda d: d.update(files=3), "cannot be read"),
    "a file without a size": (lambda d: d["files"][0].pop("size_bytes"), "cannot be read"),
    "an infinite size": (lambda d: d["files"][0].update(size_bytes=float("inf")), "cannot be read"),
    "no number as a size": (lambda d: d["files"][0].update(size_bytes=float("nan")), "cannot be"),
    "half a character": (lambda d: d["files"][0].update(path="\ud800"), "is not a path inside"),
}


@pytest.mark.parametrize("command", ["inspect", "verify", "delete"])
@pytest.mark.parametrize(("change", "message"), MISUNDERSTOOD.values(), ids=MISUNDERSTOOD)
def test_a_manifest_that_is_not_understood_is_one_line(
    change: Change, message: str, command: str, model: Path, capsys: Said
) -> None:
    rewrite(model, change)
    assert main([command, str(model)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"model_export: {model.as_uri()}: ") and message in line
    assert (model / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 100_000, b"", b"null", b'{"format": 1e999}']
)
@pytest.mark.parametrize("command", ["inspect", "verify", "delete"])
def test_a_manifest_that_is_nonsense_is_one_line(
    content: bytes, command: str, model: Path, capsys: Said
) -> None:
    (model / "manifest.json").write_bytes(content)
    assert main([command, str(model)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"model_export: {model.as_uri()}: ")


@pytest.mark.parametrize("command", ["inspect", "verify", "delete"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("models/{model}/1", "is inside a model: {base}/{model} is the model"),
        ("models/{model}/1/saved_model.pb", "is inside a model: {base}/{model} is the model"),
        ("models/{model}/manifest.json", "is inside a model: {base}/{model} is the model"),
        ("models/{model}/owners", "is inside a model: {base}/{model} is the model"),
        ("models", "is a folder of models, not a model: choose one of them ({base}/{model})"),
        ("models/abc", "does not exist; the models beside it: {base}/{model}"),
        ("nothing/here", "does not exist"),
        ("file", "is a file, not a model's folder"),
        ("empty", "is an empty folder"),
        ("other", "is not a published model: it has no manifest.json"),
    ],
)
def test_a_path_that_is_no_model_says_what_it_is(
    path: str, message: str, command: str, model: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    owners.claim(FileStorage(model.as_uri()), "diffusion-serving/local/model", "1")
    before = sorted(tmp_path.rglob("*"))
    place = tmp_path / path.format(model=model.name)
    assert main([command, str(place)]) == 1
    captured = capsys.readouterr()
    ending = "; nothing was deleted" if command == "delete" else ""
    expected = message.format(base=model.parent.as_uri(), model=model.name)
    assert captured.err == f"model_export: {place.as_uri()} {expected}{ending}\n"
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_script_is_told_as_json_that_there_is_no_model(model: Path, capsys: Said) -> None:
    assert main(["inspect", "--json", str(model / "1")]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is False and document["manifest"] is None
    assert document["problems"] == [f"is inside a model: {model.as_uri()} is the model"]


def test_an_unfinished_upload_is_called_one(model: Path, capsys: Said) -> None:
    (model / "manifest.json").rename(model / "manifest.partial.json")
    assert main(["inspect", str(model)]) == 1
    assert "manifest.json is missing: its upload has not finished; export it" in (
        capsys.readouterr().err
    )
    assert main(["delete", str(model)]) == 0
    assert not model.exists()


def test_what_owners_left_without_a_model_goes_by_force(tmp_path: Path, capsys: Said) -> None:
    left = tmp_path / "models" / "abc"
    owners.claim(FileStorage(left.as_uri()), "diffusion-serving/local/model", "1")
    assert main(["delete", str(left)]) == 1
    assert main(["delete", "--force", str(left)]) == 0
    assert list((tmp_path / "models").iterdir()) == []
