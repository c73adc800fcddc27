"""The keys of the web service: what is refused, and that no message has a key."""

from __future__ import annotations

import hashlib
import json
from contextvars import ContextVar
from pathlib import Path

import pytest

from infra.settings import keys, project_file
from infra.settings import stack as settings
from infra.settings.keys import PLACEHOLDER, ApiKey
from infra.settings.values import SettingsError
from model_export.spec import WEIGHTS_LICENCE
from render.recorder import PROJECT, stack_config

ALICE, BOB = "alices-key:0123456789", "bobs-key-0123456789AB"


def parsed(named: object) -> tuple[ApiKey, ...]:
    return keys.parse({"apiKeys": named if isinstance(named, str) else json.dumps(named)})


def test_settings_have_names_and_hashes_only() -> None:
    found = parsed({"bob": BOB, "alice": ALICE})
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in (ALICE, BOB)]
    assert found == (ApiKey("alice", hashes[0]), ApiKey("bob", hashes[1]))
    assert ALICE not in repr(found)


@pytest.mark.parametrize("key", ["x" * 20, "~" * 200, "!:@/" * 5])
def test_a_key_is_any_visible_text_of_a_good_length(key: str) -> None:
    assert len(parsed({"a": key})) == 1


def test_the_placeholder_is_a_valid_key() -> None:
    assert [key.name for key in parsed(PLACEHOLDER)] == ["alice"]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({}, "is empty: nobody could use the service"),
        ("", "is empty: nobody could use the service"),
        ("SECRET", "must be names with a key each"),
        (["SECRETSECRETSECRETSECRET"], "must be names with a key each"),
        ({"alice": "SECRET"}, "the key of alice must be 20 to 200 visible ASCII characters"),
        ({"alice": "SECRET" * 40}, "the key of alice must be 20 to 200 visible"),
        ({"alice": "SECRET SECRET SECRET SECRET"}, "the key of alice must be 20 to 200 visible"),
        ({"alice": "SECRETSECRETSECRETSECRET\n"}, "the key of alice must be 20 to 200 visible"),
        ({"alice": "SECRETSECRETSECRETSECRÉT"}, "the key of alice must be 20 to 200 visible"),
        ({"alice": 12345678901234567890123}, "the key of alice must be 20 to 200 visible"),
        ({"alice": {"bob": "SECRETSECRETSECRETSECRET"}}, "the key of alice must be 20 to 200"),
        ({"SECRETSECRETSECRETSECRET": "alice"}, "a name has 1 to 40 lower-case letters"),
        ({"": ALICE}, "a name has 1 to 40"),
        ({"-a": ALICE}, "a name has 1 to 40"),
        ({"a" * 41: ALICE}, "a name has 1 to 40"),
        ({"alice\n": ALICE}, "a name has 1 to 40"),
        ({"alice": ALICE, "bob": ALICE}, "alice and bob have the same key: each needs one of its"),
        ({f"n{i}": f"{i:020}" for i in range(1001)}, "has 1001 keys, more than 1000: remove some"),
    ],
)
def test_what_is_no_key_is_refused_in_one_line_without_it(
    monkeypatch: pytest.MonkeyPatch, named: object, says: str
) -> None:
    monkeypatch.setattr("pulumi.get_stack", lambda: "mine")
    with pytest.raises(SettingsError) as error:
        parsed(named)
    text = str(error.value)
    assert text.startswith(f"apiKeys: {says}")
    assert text.endswith(". To draw and set a key: `make key STACK=mine NAME=alice`")
    assert "\n" not in text and "SECRET" not in text and ALICE not in text
    assert error.value.__cause__ is None and error.value.__suppress_context__


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stack_on_gke_needs_a_key_and_a_local_one_none(stack: str) -> None:
    config = {k.removeprefix(f"{PROJECT}:"): v for k, v in stack_config(stack).items()}
    with pytest.raises(SettingsError, match=r"^apiKeys: is empty"):
        settings.parse(config | {"acceptLicence": WEIGHTS_LICENCE}, "my-project-1")
    local = {k.removeprefix(f"{PROJECT}:"): v for k, v in stack_config("local").items()}
    assert settings.parse(local).gke is None


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the stack mine, beside the project's."""
    (tmp_path / "Pulumi.yaml").write_text(f"name: {PROJECT}\n")
    monkeypatch.setattr(project_file, "ROOT", tmp_path)
    return tmp_path / "Pulumi.mine.yaml"


@pytest.mark.parametrize(
    "written",
    [
        f"  diffusion-serving:apiKeys:\n    alice: {ALICE}\n",
        f"  apiKeys:\n    bob: {{secure: v1:x:y}}\n    alice: '{ALICE}'\n",
        f'  apiKeys: \'{{"alice": "{ALICE}"}}\'\n',
        f"  apiKeys: [{ALICE}]\n",
    ],
)
def test_a_key_in_plain_text_is_refused(file: Path, written: str) -> None:
    file.write_text(f"config:\n{written}")
    with pytest.raises(SettingsError) as error:
        keys.refuse_plain_text("ada/mine", PROJECT)
    text = str(error.value)
    assert text.startswith("apiKeys: a key stands in plain text in Pulumi.mine.yaml: remove it")
    assert "alices-key" not in text and "\n" not in text


@pytest.mark.parametrize(
    "written",
    [
        "  apiKeys:\n    bob: {secure: v1:x:y}\n    alice:\n      secure: v1:z:y\n",
        "  apiKeys: {secure: v1:x:y}\n",
        "  apiKeys: {}\n",
        "  spot: true\n",
    ],
)
def test_encrypted_keys_are_accepted(file: Path, written: str) -> None:
    file.write_text(f"config:\n{written}")
    keys.refuse_plain_text("mine", PROJECT)


def test_the_program_looks_for_keys_in_plain_text_first(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(f"config:\n  apiKeys: {{alice: '{ALICE}'}}\n")
    monkeypatch.setattr("pulumi.get_stack", lambda: "mine")
    monkeypatch.setattr("pulumi.get_project", lambda: PROJECT)
    config: ContextVar[dict[str, str]] = ContextVar("config")
    config.set(stack_config("dev"))
    monkeypatch.setattr("pulumi.runtime.config.CONFIG", config)
    with pytest.raises(SettingsError, match="plain text"):
        settings.load()
