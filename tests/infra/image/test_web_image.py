"""What the providers of the image and its base do, against a registry in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_image.login import Login
from container_image.sources import content_identity
from infra.image import logins
from infra.image.base_image import BaseImageProvider
from infra.image.web_image import WebImageProvider
from tests.container_image.checkouts import PYTHON, around, checkout, push_base
from tests.container_image.gate import gate_before
from tests.container_image.stub_registry import StubRegistry, stub_registry

SECRET = "pass word"


@pytest.fixture
def registry() -> Iterator[StubRegistry]:
    with stub_registry() as stub:
        push_base(stub.host)
        yield stub


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = checkout(tmp_path / "checkout")
    for module in ("web_image", "base_image"):
        monkeypatch.setattr(
            f"infra.image.{module}.surroundings",
            lambda _repository: around(folder, lambda _host: Login("user", SECRET)),
        )
    return folder


def inputs(root: Path, host: str) -> dict[str, Any]:
    based = BaseImageProvider().create({"image": f"{host}/base:nonroot", "repository": ""})
    assert based.outs is not None
    return {
        "content": content_identity(root),
        "base": based.outs["pinned"],
        "python": PYTHON,
        "repository": f"{host}/stack",
    }


def created(root: Path, host: str) -> dict[str, Any]:
    made = WebImageProvider().create(inputs(root, host))
    assert made.outs is not None
    assert made.id == made.outs["reference"]
    return made.outs


def test_an_image_is_named_by_its_digest(root: Path, registry: StubRegistry) -> None:
    reference = created(root, registry.host)["reference"]
    name, _, digest = reference.partition("@")
    assert name == f"{registry.host}/stack/web"
    assert ("stack/web", digest) in registry.manifests


def test_the_state_holds_no_login(root: Path, registry: StubRegistry) -> None:
    with gate_before(registry.host, wants="token", password=SECRET) as gate:
        state = created(root, gate.host)
    assert set(state) == {"content", "base", "python", "repository", "reference"}
    assert not any(secret in json.dumps(state) for secret in (SECRET, "token", "user"))


@pytest.mark.parametrize("key", ["content", "base", "python", "repository"])
def test_another_image_replaces_it_and_the_old_one_goes_last(key: str) -> None:
    old = dict.fromkeys(("content", "base", "python", "repository"), "same")
    diff = WebImageProvider().diff("id", old, {**old, key: "other"})
    assert (diff.changes, diff.replaces, diff.delete_before_replace) == (True, [key], False)


def test_nothing_is_asked_to_see_that_nothing_has_changed(
    root: Path, registry: StubRegistry
) -> None:
    state = created(root, registry.host)
    registry.asked.clear()
    assert WebImageProvider().diff("id", state, inputs_of(state)).changes is False
    base = {"image": "a:1", "pinned": "a:1@sha256:0", "repository": "x"}
    assert (
        BaseImageProvider().diff("id", base, {"image": "a:1", "repository": "y"}).changes is False
    )
    assert registry.asked == []


def inputs_of(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "reference"}


def test_the_base_stays_what_it_was_until_another_tag_is_set(
    root: Path, registry: StubRegistry
) -> None:
    provider = BaseImageProvider()
    state = provider.create({"image": f"{registry.host}/base:nonroot", "repository": ""}).outs
    assert state is not None
    push_base(registry.host, layers=(b"another",))
    assert provider.read("id", state).outs == state
    assert provider.diff("id", state, {"image": state["image"]}).changes is False
    assert provider.diff("id", state, {"image": "other:1"}).replaces == ["image"]


def test_a_refresh_finds_an_image_that_is_gone(root: Path, registry: StubRegistry) -> None:
    state = created(root, registry.host)
    provider = WebImageProvider()
    assert provider.read("id", state).id == "id"
    registry.manifests.pop(("stack/web", state["reference"].partition("@")[2]))
    assert provider.read("id", state).id == ""


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refresh_keeps_an_image_that_it_cannot_ask_for(
    root: Path,
    registry: StubRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
) -> None:
    monkeypatch.setattr("container_image.connection._PAUSES_SECONDS", (0.0, 0.0))
    state = created(root, registry.host)
    with gate_before(registry.host, statuses=[status] * 20) as gate:
        moved = json.loads(json.dumps(state).replace(registry.host, gate.host))
        assert WebImageProvider().read("id", moved).id == "id"
    assert "cannot look for the web service's image: " in capsys.readouterr().out


def test_deleting_removes_the_image_and_bears_that_it_is_gone(
    root: Path, registry: StubRegistry
) -> None:
    state = created(root, registry.host)
    for _ in range(2):
        WebImageProvider().delete("id", state)
        assert not any(repository == "stack/web" for repository, _ in registry.manifests)
    assert any(repository == "base" for repository, _ in registry.manifests)


def test_a_registry_that_keeps_images_does_not_stop_a_destroy(
    root: Path, registry: StubRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    state = created(root, registry.host)
    registry.deletes = False
    WebImageProvider().delete("id", state)
    assert f"keeping {state['reference']}: " in capsys.readouterr().out


def test_an_error_is_one_line(root: Path, registry: StubRegistry) -> None:
    with pytest.raises(RuntimeError, match=r"^there is no image \S+/base with the version none$"):
        BaseImageProvider().create({"image": f"{registry.host}/base:none", "repository": ""})
    with pytest.raises(RuntimeError, match=r"^[^\n]*have changed since the start: run it again$"):
        WebImageProvider().create({**inputs(root, registry.host), "content": "other"})


ENVIRONMENT = {"WEB_REGISTRY_USER": "user", "WEB_REGISTRY_PASSWORD": SECRET}


@pytest.mark.parametrize(
    ("repository", "host", "is_logged_in"),
    [
        ("registry.example/a", "registry.example", True),
        ("registry.example/a", "gcr.io", False),
        ("us-central1-docker.pkg.dev/p/a", "gcr.io", True),
    ],
)
def test_the_environments_login_is_for_one_registry(
    repository: str, host: str, is_logged_in: bool
) -> None:
    login = logins.logins(repository, ENVIRONMENT)(host)
    assert login == (Login("user", SECRET) if is_logged_in else None)
    assert logins.logins(repository, {})(host) is None


def test_googles_registry_gets_a_token_of_the_credentials_that_deploy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.gke.credentials.access_token", lambda _given: "t0ken")
    host = "us-central1-docker.pkg.dev"
    assert logins.logins(f"{host}/p/a", ENVIRONMENT)(host) == Login("oauth2accesstoken", "t0ken")
