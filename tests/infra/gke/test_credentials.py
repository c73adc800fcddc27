"""What is wrong with Google credentials is said in one line, before anything is made."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pulumi
import pytest

from infra.gke import credentials
from infra.gke.credentials import (
    IMPERSONATION,
    OTHER_CREDENTIALS,
    PLUGIN,
    CredentialsError,
    check,
    credentials_file,
    quota_project_warning,
    refuse_other_identities,
    require_credentials,
)
from infra.gke.kubeconfig import kubeconfig
from render.recorder import run_program
from tests.google_credentials import ACCOUNT, USER, TokenServer, signed_in, token_server

ROOT = Path(__file__).resolve().parents[3]
REAL_PLUGIN = shutil.which(PLUGIN)
PROJECT = "my-project-1"
PATHS = "the gcp provider, the Kubernetes provider and the upload of the model"
LOGIN = "gcloud auth application-default login"


@pytest.fixture
def google() -> Iterator[TokenServer]:
    with token_server() as answers:
        yield answers


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[object], dict[str, str]]:
    """Makes this a machine outside Google with nothing but the given credentials."""
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (*IMPERSONATION, *OTHER_CREDENTIALS, "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def prepare(content: object) -> dict[str, str]:
        given = signed_in(tmp_path, content)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return given

    return prepare


Machine = Callable[[object], dict[str, str]]


def refusal(given: dict[str, str]) -> str:
    with pytest.raises(CredentialsError) as error:
        check(given, PROJECT)
    line = str(error.value)
    assert "\n" not in line and len(line) < 500
    return line


def test_usable_credentials_cost_one_request_and_no_word(
    machine: Machine, google: TokenServer
) -> None:
    assert check(machine(google.key()), PROJECT) == ""
    assert google.asked == ["/token"]


def test_a_missing_plugin_names_the_command_that_installs_it(
    machine: Machine, google: TokenServer
) -> None:
    line = refusal({**machine(google.key()), "PATH": "/nonexistent"})
    assert "gke-gcloud-auth-plugin is not on PATH" in line
    assert "gcloud components install gke-gcloud-auth-plugin" in line
    assert google.asked == []


def test_no_credentials_name_the_login_and_who_needs_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = machine({})
    del given["GOOGLE_APPLICATION_CREDENTIALS"]
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    line = refusal(given)
    assert "no application-default credentials" in line
    assert PATHS in line and LOGIN in line


def test_a_token_is_the_one_that_the_credentials_get(machine: Machine, google: TokenServer) -> None:
    token = credentials.access_token(machine(google.key()))
    assert (token, len(google.asked)) == ("t", 1)


def test_expired_credentials_of_a_user_ask_for_a_new_login(
    machine: Machine, google: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", google.url)
    google.refusal = {"error": "invalid_grant", "error_description": "Token has been revoked."}
    line = refusal(machine(USER))
    assert "invalid_grant: Token has been revoked." in line
    assert line.endswith(f"log in again with `{LOGIN}`")


def test_a_deleted_key_of_a_service_account_is_to_be_replaced(
    machine: Machine, google: TokenServer
) -> None:
    google.refusal = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    given = machine(google.key())
    line = refusal(given)
    assert "Invalid JWT Signature." in line
    assert f"replace {given['GOOGLE_APPLICATION_CREDENTIALS']}" in line


def test_a_machine_without_network_is_told_which_host_it_cannot_reach(
    machine: Machine, google: TokenServer
) -> None:
    line = refusal(machine({**google.key(), "token_uri": "http://127.0.0.1:9/token"}))
    assert line.startswith("127.0.0.1 cannot be reached") and "HTTPS_PROXY" in line


def test_a_token_server_that_does_not_answer_is_not_waited_for_long(
    machine: Machine, google: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_REQUEST_SECONDS", 0.1)
    google.delay_seconds = 5
    given = machine(google.key())
    begun = time.monotonic()
    assert "127.0.0.1 cannot be reached" in refusal(given)
    assert time.monotonic() - begun < 4


@pytest.mark.slow
def test_a_machine_elsewhere_asks_once_whether_it_is_at_google(
    tmp_path: Path, machine: Machine
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            "PATH": machine({})["PATH"],
            "HOME": str(tmp_path),
            "GCE_METADATA_IP": f"127.0.0.1:{silent.getsockname()[1]}",
            "GCE_METADATA_TIMEOUT": "1",
        }
        command = [sys.executable, "-m", "infra.gke.credentials", "--stack", "dev"]
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 1
        assert ran.stderr.startswith("error: there are no application-default credentials")
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.slow
@pytest.mark.skipif(REAL_PLUGIN is None, reason=f"{PLUGIN} is not on PATH")
def test_the_real_plugin_takes_the_credentials_that_are_checked_and_no_others(
    machine: Machine, google: TokenServer
) -> None:
    (user,) = json.loads(kubeconfig("name", "endpoint"))["users"]
    assert user["user"]["exec"]["command"] == PLUGIN
    command = [str(REAL_PLUGIN), *user["user"]["exec"]["args"]]
    for others in ({}, dict.fromkeys(IMPERSONATION[:2], ACCOUNT)):
        environment = {**os.environ, **machine(google.key()), **others}
        printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        assert json.loads(printed)["status"]["token"] == "t"
    assert google.asked == ["/token", "/token"]


@pytest.mark.parametrize("content", [{}, [], {"type": "unheard_of"}, {"type": "authorized_user"}])
def test_a_file_that_is_no_credentials_is_named(machine: Machine, content: object) -> None:
    given = machine(content)
    line = refusal(given)
    assert given["GOOGLE_APPLICATION_CREDENTIALS"] in line and LOGIN in line


def test_a_file_that_is_not_json_is_named(machine: Machine) -> None:
    given = machine({})
    Path(given["GOOGLE_APPLICATION_CREDENTIALS"]).write_bytes(b"\xff\xfe{")
    assert given["GOOGLE_APPLICATION_CREDENTIALS"] in refusal(given)


def test_a_named_file_that_is_not_there_is_told(machine: Machine) -> None:
    line = refusal({**machine({}), "GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent/key.json"})
    assert "GOOGLE_APPLICATION_CREDENTIALS is /nonexistent/key.json, where there is no file" in line


@pytest.mark.parametrize("name", IMPERSONATION)
def test_impersonation_that_counts_for_one_program_is_refused_for_all(name: str) -> None:
    with pytest.raises(CredentialsError) as error:
        refuse_other_identities({name: ACCOUNT})
    line = str(error.value)
    assert line.startswith(name) and PATHS in line
    assert f"`{LOGIN} --impersonate-service-account {ACCOUNT}`" in line
    refuse_other_identities({name: ""})


@pytest.mark.parametrize("name", OTHER_CREDENTIALS)
def test_credentials_of_the_provider_alone_are_refused(name: str) -> None:
    with pytest.raises(CredentialsError) as error:
        refuse_other_identities({name: "ya29.secret"})
    line = str(error.value)
    assert line.startswith(name) and PATHS in line
    assert LOGIN in line and "GOOGLE_APPLICATION_CREDENTIALS" in line
    assert "ya29.secret" not in line


def test_the_same_file_may_be_named_for_the_provider_too() -> None:
    given = {"GOOGLE_APPLICATION_CREDENTIALS": "/key.json", "GOOGLE_CREDENTIALS": "/key.json"}
    refuse_other_identities(given)


def test_impersonation_in_the_credentials_themselves_is_honoured(
    machine: Machine, google: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = google.url + "/v1/projects/-/serviceAccounts/{}:generateAccessToken"
    monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", endpoint)
    impersonated = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": endpoint.format(ACCOUNT),
        "source_credentials": google.key(),
    }
    assert check(machine(impersonated), PROJECT) == ""
    assert google.asked[-1].endswith(f"{ACCOUNT}:generateAccessToken")

    google.refusal, google.refused_path = {"error": "PERMISSION_DENIED"}, ACCOUNT
    assert "you need roles/iam.serviceAccountTokenCreator on it" in refusal(machine(impersonated))


def test_a_folder_that_only_the_upload_would_look_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    configured = tmp_path / "elsewhere"
    given = {"CLOUDSDK_CONFIG": str(configured)}
    assert credentials_file(given) is None
    file = configured / "application_default_credentials.json"
    configured.mkdir()
    file.write_text("{}")
    with pytest.raises(CredentialsError, match=f"export GOOGLE_APPLICATION_CREDENTIALS={file}"):
        credentials_file(given)

    usual = tmp_path / ".config/gcloud"
    usual.mkdir(parents=True)
    (usual / file.name).write_text("{}")
    assert credentials_file({}) == usual / file.name
    assert credentials_file({"CLOUDSDK_CONFIG": str(usual)}) == usual / file.name


def test_a_user_without_a_quota_project_is_warned_with_the_command() -> None:
    line = quota_project_warning(USER, {}, PROJECT)
    assert f"gcloud auth application-default set-quota-project {PROJECT}" in line
    assert not quota_project_warning({**USER, "quota_project_id": "p"}, {}, PROJECT)
    assert not quota_project_warning(USER, {"GOOGLE_CLOUD_QUOTA_PROJECT": "p"}, PROJECT)
    assert not quota_project_warning({"type": "service_account"}, {}, PROJECT)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", lines.append)
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    monkeypatch.delenv("MAKELEVEL", raising=False)
    return lines


def test_the_program_ends_with_the_line(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", ACCOUNT)
    with pytest.raises(pulumi.RunError, match="GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"):
        require_credentials(PROJECT)


def test_a_stack_on_gke_checks_them_before_its_first_resource_and_the_local_one_never(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nonexistent")
    with pytest.raises(pulumi.RunError, match="GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"):
        run_program("dev")
    assert run_program("local").resources


@pytest.mark.parametrize("setting", ["impersonateServiceAccount", "credentials", "accessToken"])
def test_the_program_refuses_settings_of_the_provider(
    said: list[str], monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    class Config:
        def __init__(self, name: str) -> None:
            assert name == "gcp"

        def get(self, name: str) -> str | None:
            return ACCOUNT if name == setting else None

    monkeypatch.setattr("pulumi.Config", Config)
    with pytest.raises(pulumi.RunError, match=f"gcp:{setting} does not count for all of"):
        require_credentials(PROJECT)


def test_the_program_warns_unless_make_has_done_so(
    machine: Machine, said: list[str], monkeypatch: pytest.MonkeyPatch, google: TokenServer
) -> None:
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", google.url)
    machine(USER)
    require_credentials(PROJECT)
    (line,) = said
    assert "no quota project" in line
    monkeypatch.setenv("MAKELEVEL", "1")
    require_credentials(PROJECT)
    assert said == [line]


def test_a_program_without_an_engine_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    monkeypatch.setenv("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", ACCOUNT)
    require_credentials(PROJECT)
