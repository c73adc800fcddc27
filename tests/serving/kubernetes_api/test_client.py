"""Requests to an API server over TLS, with credentials from a plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.kubernetes_api.client import ApiError, KubernetesApi, TransientApiError
from serving.kubernetes_api.kubeconfig import CredentialError, Kubeconfig
from tests.serving.kubernetes_api.api_stub import ApiStub, api_stub

PATH = "/api/v1/pods"


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[ApiStub]:
    with api_stub(tmp_path) as found:
        found.objects[PATH] = [{"metadata": {"name": "one"}}]
        yield found


def pods(stub: ApiStub, *, authority: bool = True) -> list[str]:
    with KubernetesApi(Kubeconfig.parse(stub.kubeconfig(authority=authority))) as api:
        return [pod["metadata"]["name"] for pod in api.list(PATH)]


def test_a_long_list_is_read_to_its_end(stub: ApiStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.kubernetes_api.client._OBJECTS_AT_ONCE", 2)
    names = ["one", "two", "three", "four", "five"]
    stub.objects[PATH] = [{"metadata": {"name": name}} for name in names]
    assert pods(stub) == names
    assert len(stub.requests) == 3


def test_the_plugins_token_is_sent_and_the_plugin_is_told_the_cluster(stub: ApiStub) -> None:
    assert pods(stub) == ["one"]
    (told,) = stub.plugin_calls()
    assert told["kind"] == "ExecCredential"
    assert told["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    assert told["spec"]["interactive"] is False
    assert told["spec"]["cluster"]["server"] == stub.url


def test_a_token_is_asked_for_once_and_again_when_it_has_expired(stub: ApiStub) -> None:
    with KubernetesApi(Kubeconfig.parse(stub.kubeconfig())) as api:
        api.list(PATH)
        api.list(PATH)
        assert len(stub.plugin_calls()) == 1
        stub.token = "token-2"
        stub.plugins_token("token-2")
        api.list(PATH)
        assert len(stub.plugin_calls()) == 2


def test_a_token_that_is_refused_twice_is_an_error(stub: ApiStub) -> None:
    stub.plugins_token("wrong")
    with pytest.raises(ApiError, match="answers 401: Unauthorized"):
        pods(stub)


def test_a_client_certificate_is_used_and_leaves_no_file(
    stub: ApiStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "temporary"
    own.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(own))
    status = {
        "clientCertificateData": stub.identity.certificate,
        "clientKeyData": stub.identity.key,
    }
    stub.write_plugin(f"print({json.dumps(json.dumps({'status': status}))})")
    assert pods(stub) == ["one"]
    assert list(own.iterdir()) == []


def test_a_server_that_is_not_the_clusters_is_refused(stub: ApiStub) -> None:
    with pytest.raises(ApiError, match=r"is not the cluster: .*CERTIFICATE_VERIFY_FAILED"):
        pods(stub, authority=False)
    assert stub.requests == []


def test_a_public_authority_may_come_from_ssl_cert_file(
    stub: ApiStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "authority.pem"
    file.write_text(stub.identity.certificate, encoding="ascii")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert pods(stub, authority=False) == ["one"]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_overloaded_server_is_a_transient_error(stub: ApiStub, code: int) -> None:
    stub.failures = [(code, {"message": "try again"})]
    with pytest.raises(TransientApiError, match=f"{code}: try again"):
        pods(stub)


def test_a_refusal_is_not_transient_and_carries_the_servers_message(stub: ApiStub) -> None:
    stub.failures = [(403, {"message": "pods is forbidden:\n no access"})]
    with pytest.raises(ApiError, match="answers 403: pods is forbidden: no access"):
        pods(stub)


def test_what_is_not_there_is_none(stub: ApiStub) -> None:
    with KubernetesApi(Kubeconfig.parse(stub.kubeconfig())) as api:
        assert api.get("/api/v1/nothing") is None


def test_a_server_that_does_not_listen_is_a_transient_error(stub: ApiStub) -> None:
    stub.url = "https://127.0.0.1:1"
    with pytest.raises(TransientApiError, match=r"at https://127\.0\.0\.1:1 does not answer"):
        pods(stub)


PLUGINS = {
    "it fails": (
        "print('noise', file=sys.stderr); sys.exit('no credentials found')",
        "auth-plugin failed with exit code 1: no credentials found",
    ),
    "it says nothing": ("sys.exit(3)", "failed with exit code 3: it said nothing"),
    "no JSON": ("print('hello')", "did not answer with an ExecCredential"),
    "no token": ("print('{\"status\": {}}')", "without a token and without a certificate"),
}


@pytest.mark.parametrize(("body", "reason"), PLUGINS.values(), ids=PLUGINS)
def test_a_plugin_that_fails_is_named_in_one_line(stub: ApiStub, body: str, reason: str) -> None:
    stub.write_plugin(body)
    with pytest.raises(CredentialError) as caught:
        pods(stub)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_plugin_that_is_not_installed_is_named_with_the_way_to_get_it(stub: ApiStub) -> None:
    stub.plugin.unlink()
    with pytest.raises(CredentialError, match="is not installed: run `gcloud components install"):
        pods(stub)
