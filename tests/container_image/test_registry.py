"""What a registry can say, in one line each, and which of it is tried again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import requests

from container_image.blob import Blob, BlobReader
from container_image.connection import _PAUSES_SECONDS
from container_image.errors import KeptError, RegistryError, StoppedError
from container_image.login import Authorization, Login
from container_image.reference import parse
from container_image.registry import Repository
from tests.container_image.checkouts import push_base
from tests.container_image.gate import gate_before
from tests.container_image.stub_registry import StubRegistry

LOGIN = Login("user", "pass word")
BLOB = Blob.of_bytes(b"content")


def repository(host: str, name: str = "stack/web", login: Login | None = None) -> Repository:
    return Repository(parse(f"{host}/{name}"), login, threading.Event())


@pytest.mark.parametrize("wants", ["basic", "token"])
def test_a_login_gets_in_by_either_way(registry: StubRegistry, wants: str) -> None:
    with gate_before(registry.host, wants=wants) as gate:
        repository(gate.host, login=LOGIN).upload(BLOB)
    assert registry.blobs["stack/web", BLOB.digest] == b"content"


def test_a_token_is_asked_for_what_the_registry_names(registry: StubRegistry) -> None:
    with gate_before(registry.host, wants="token") as gate:
        repository(gate.host, login=LOGIN).upload(BLOB)
    assert gate.scopes == ["repository:stack/web:pull", "repository:stack/web:pull,push"]


@pytest.mark.parametrize("wants", ["basic", "token"])
@pytest.mark.parametrize("login", [None, Login("user", "wrong")])
def test_a_wrong_login_is_told_at_once_in_one_line(
    registry: StubRegistry, wants: str, login: Login | None
) -> None:
    with gate_before(registry.host, wants=wants) as gate:
        with pytest.raises(RegistryError) as caught:
            repository(gate.host, login=login).upload(BLOB)
        assert len(gate.asked) <= 3
    line = str(caught.value)
    assert gate.host in line and "\n" not in line
    assert "wrong" not in line
    assert ("login" in line) or ("gives user user no access" in line)


def test_a_password_is_never_shown() -> None:
    assert "pass word" not in repr(LOGIN)


def test_a_netrc_is_not_read(
    registry: StubRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login user password netrc\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    with (
        gate_before(registry.host, wants="basic", password="netrc") as gate,
        pytest.raises(RegistryError, match="it wants a login"),
    ):
        repository(gate.host).has_blob(BLOB.digest)


def test_a_login_goes_to_no_other_host() -> None:
    authorization = Authorization("registry.example", LOGIN)
    assert authorization.answer('Basic realm="here"', requests.get)
    for url, has_it in (
        ("https://registry.example/v2/", True),
        ("https://storage.example/blob", False),
        ("https://registry.example:8443/v2/", False),
    ):
        sent = authorization(requests.Request("GET", url).prepare())
        assert ("Authorization" in sent.headers) is has_it


def test_a_password_is_not_sent_without_tls() -> None:
    authorization = Authorization("registry.example", LOGIN)
    with pytest.raises(RegistryError, match="without TLS"):
        authorization.answer('Bearer realm="http://registry.example/token"', _unreachable)


def _unreachable(*_args: object, **_options: object) -> object:
    raise AssertionError("a request")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_in_trouble_is_asked_again(registry: StubRegistry, status: int) -> None:
    with gate_before(registry.host, statuses=[status, status, status]) as gate:
        repository(gate.host).upload(BLOB)
    assert ("stack/web", BLOB.digest) in registry.blobs


def test_patience_ends_and_says_so(registry: StubRegistry) -> None:
    tries = len(_PAUSES_SECONDS) + 1
    with gate_before(registry.host, statuses=[503] * 50, message="busy") as gate:
        with pytest.raises(RegistryError, match=r"answers 503 \(busy\): try again later"):
            repository(gate.host).put_manifest(b"{}", "application/json")
        assert len(gate.asked) == tries


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_refusal_is_not_asked_again(registry: StubRegistry, status: int) -> None:
    with gate_before(registry.host, statuses=[status] * 9) as gate:
        with pytest.raises(RegistryError):
            repository(gate.host).put_manifest(b"{}", "application/json")
        assert len(gate.asked) == 1


@pytest.mark.parametrize(
    ("status", "message", "line"),
    [
        (404, "", "there is no repository HOST/stack/web: create it"),
        (
            403,
            "Artifact Registry API has not been used in project 1 before or it is disabled.",
            "type `gcloud services enable artifactregistry.googleapis.com`",
        ),
        (
            403,
            'Permission "artifactregistry.repositories.uploadArtifacts" denied\non resource',
            "denied on resource): you need roles/artifactregistry.writer on the repository",
        ),
        (400, "manifest invalid", "HOST answers PUT with 400 (manifest invalid)"),
    ],
)
def test_a_refused_push_says_what_to_do(
    registry: StubRegistry, status: int, message: str, line: str
) -> None:
    with (
        gate_before(registry.host, statuses=[status], message=message) as gate,
        pytest.raises(RegistryError) as caught,
    ):
        repository(gate.host).put_manifest(b"{}", "application/json")
    said = str(caught.value)
    assert line.replace("HOST", gate.host) in said
    assert "\n" not in said


def test_a_refused_token_says_why_and_what_to_do(registry: StubRegistry) -> None:
    with (
        gate_before(registry.host, wants="token", message="Permission denied") as gate,
        pytest.raises(RegistryError) as caught,
    ):
        repository(gate.host, login=Login("user", "wrong")).upload(BLOB)
    assert str(caught.value) == (
        f"{gate.host} gives user user no access to repository:stack/web:pull: it answers 401 "
        "(Permission denied)"
    )


def test_a_base_that_may_not_be_read_says_which_role_reads(registry: StubRegistry) -> None:
    with (
        gate_before(registry.host, statuses=[403]) as gate,
        pytest.raises(RegistryError, match=r"you need roles/artifactregistry\.reader on"),
    ):
        repository(gate.host, "base").manifest("nonroot")


def test_an_unknown_tag_is_named(registry: StubRegistry) -> None:
    push_base(registry.host)
    with pytest.raises(RegistryError, match=r"there is no image .*/base with the version noroot"):
        repository(registry.host, "base").manifest("noroot")


def test_no_network_is_told_at_once() -> None:
    with pytest.raises(RegistryError, match=r"cannot be reached: check its name and the network"):
        repository("localhost:1").has_blob(BLOB.digest)


def test_an_unknown_host_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(RegistryError, match=r"nowhere\.invalid cannot be reached"):
        repository("nowhere.invalid").has_blob(BLOB.digest)


def test_deleting_what_is_gone_is_no_error(registry: StubRegistry) -> None:
    digest = push_base(registry.host)
    bases = repository(registry.host, "base")
    assert bases.delete_manifest(digest) is True
    assert bases.delete_manifest(digest) is False
    assert not bases.has_manifest(digest)


def test_a_registry_that_deletes_nothing_is_told_apart(registry: StubRegistry) -> None:
    registry.deletes = False
    with pytest.raises(KeptError, match="lets nobody delete images"):
        repository(registry.host).delete_manifest(BLOB.digest)


def test_a_stopped_run_makes_no_further_request(registry: StubRegistry) -> None:
    stopped = threading.Event()
    stopped.set()
    target = Repository(parse(f"{registry.host}/stack/web"), None, stopped)
    with pytest.raises(StoppedError):
        target.upload(BLOB)
    assert registry.asked == []


def test_a_body_is_read_from_disk_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(bytes(5 << 20))
    reader = BlobReader(Blob("", 5 << 20, file), lambda: None)
    assert len(reader) == 5 << 20
    assert max(len(part) for part in reader) == 1 << 20
    reader.close()
