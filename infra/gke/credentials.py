"""Checks, before anything is made, that this machine can deploy to Google Cloud.

Three parts of a deployment log in: the gcp provider, the Kubernetes provider (by
gke-gcloud-auth-plugin), and the upload of the model. Only application-default credentials count for
all of them, so whatever gives one of them another identity is refused.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from console import run_command, say
from console.invocation import started_as
from infra.settings import project_file

PLUGIN = "gke-gcloud-auth-plugin"
IMPERSONATION = (
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "gcp:impersonateServiceAccount",
)
OTHER_CREDENTIALS = (
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
    "gcp:accessToken",
    "gcp:credentials",
)
"""Each counts for the gcp provider only, but the second of IMPERSONATION: for gcloud only."""

_PARTS = "the gcp provider, the Kubernetes provider and the upload of the model"
_NAMED = "GOOGLE_APPLICATION_CREDENTIALS"
_FILE_NAME = "application_default_credentials.json"
_LOGIN = "`gcloud auth application-default login`"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_REQUEST_SECONDS = 5
_SHOWN_LETTERS = 200


class CredentialsError(Exception):
    """One line: what is wrong with the credentials, and what to do."""


def check(given: Mapping[str, str], project: str) -> str:
    """A line to warn with, or nothing. Renews the credentials once, in a few seconds.

    given: the environment, and the settings of the gcp provider as gcp:NAME.
    """
    refuse_other_identities(given)
    if shutil.which(PLUGIN, path=given.get("PATH")) is None:
        raise CredentialsError(
            f"{PLUGIN} is not on PATH, which the Kubernetes provider and kubectl need to reach the "
            f"cluster: install it with `gcloud components install {PLUGIN}`, or with the package "
            "manager that gcloud came from"
        )
    file = credentials_file(given)
    document = _document(file)
    _renew(file, str(document.get("type")))
    return quota_project_warning(document, given, project)


def refuse_other_identities(given: Mapping[str, str]) -> None:
    """Raises CredentialsError for what would not count for all three."""
    for name in (*IMPERSONATION, *OTHER_CREDENTIALS):
        value = given.get(name)
        if not value or value == given.get(_NAMED):
            continue
        instead = f"log in with {_LOGIN} or name a file of credentials in {_NAMED}"
        if name in IMPERSONATION:
            instead = f"log in with {_LOGIN[:-1]} --impersonate-service-account {value}`"
        remove = "remove it from the stack's config" if ":" in name else f"type `unset {name}`"
        raise CredentialsError(
            f"{name} does not count for all of {_PARTS}: {remove}, and {instead}, which does"
        )


def credentials_file(given: Mapping[str, str]) -> Path | None:
    """The file of application-default credentials that all of them find, or None."""
    if named := given.get(_NAMED):
        if not Path(named).is_file():
            raise CredentialsError(
                f"{_NAMED} is {named}, where there is no file: correct it, or type `unset {_NAMED}`"
            )
        return Path(named)
    usual = Path("~/.config/gcloud").expanduser() / _FILE_NAME
    if folder := given.get("CLOUDSDK_CONFIG"):
        configured = Path(folder) / _FILE_NAME
        existing = next((file for file in (configured, usual) if file.is_file()), None)
        if existing and configured.resolve() != usual.resolve():
            raise CredentialsError(
                "CLOUDSDK_CONFIG counts for the upload of the model, but not for the gcp and the "
                f"Kubernetes provider: type `export {_NAMED}={existing}`, which counts for all"
            )
    return usual if usual.is_file() else None


def quota_project_warning(
    document: Mapping[str, Any], given: Mapping[str, str], project: str
) -> str:
    """A line for users without a quota project; the APIs that this program uses need none yet."""
    has_quota_project = document.get("quota_project_id") or given.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    if document.get("type") != "authorized_user" or has_quota_project:
        return ""
    return (
        "your credentials have no quota project, which some of Google's APIs require of users: "
        f"type `gcloud auth application-default set-quota-project {project}`"
    )


def access_token(given: Mapping[str, str]) -> str:
    """A token of an hour, for what speaks to Google without a library of Google's."""
    file = credentials_file(given)
    return _renew(file, str(_document(file).get("type")))


def require_credentials(project: str) -> None:
    """`check` for the program, which may run without make. Warns, or ends it."""
    if "PULUMI_CONFIG" not in os.environ:  # the CLI's language host sets it; a mock deploys nothing
        return
    import pulumi

    config = pulumi.Config("gcp")
    names = (name for name in (*IMPERSONATION, *OTHER_CREDENTIALS) if ":" in name)
    settings = {name: config.get(name.removeprefix("gcp:")) or "" for name in names}
    try:
        line = check({**os.environ, **settings}, project)
    except CredentialsError as error:
        raise pulumi.RunError(str(error)) from None
    if line and "MAKELEVEL" not in os.environ:  # make has said it
        pulumi.log.warn(line)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=started_as("infra.gke.credentials"),
        description="Check that this machine can deploy a stack to Google Cloud.",
    )
    parser.add_argument("--stack", required=True, help="the stack to deploy; others than GKE pass")
    stack = parser.parse_args(arguments).stack.rpartition("/")[2]
    if project_file.target(stack) != "gke":
        return 0
    config = project_file.stack_config(stack)
    settings = {
        name: value if isinstance(value, str) else "ACCOUNT"  # an encrypted one
        for name in (*IMPERSONATION, *OTHER_CREDENTIALS)
        if (value := config.get(name))
    }
    try:
        line = check({**settings, **os.environ}, str(config.get("gcp:project") or "PROJECT"))
    except CredentialsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if line:
        say(f"warning: {line}")
    return 0


def _document(file: Path | None) -> dict[str, Any]:
    try:
        content: object = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError) as error:
        raise CredentialsError(f"{file} cannot be read ({error}): log in with {_LOGIN}") from None
    if not isinstance(content, dict):
        raise CredentialsError(f"{file} holds no credentials: log in with {_LOGIN}")
    return cast("dict[str, Any]", content)


def _renew(file: Path | None, kind: str) -> str:
    # The metadata server of a machine at Google answers at the first try; the default is three.
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
    import google.auth
    from google.auth import exceptions
    from google.auth.transport.requests import Request

    auth = cast("Any", google.auth)  # it has no types
    request = functools.partial(cast("Any", Request()), timeout=_REQUEST_SECONDS)
    # With a file, the library never asks gcloud for a project, which takes a second.
    load = functools.partial(auth.load_credentials_from_file, file) if file else auth.default
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files from strangers, and of quota projects
            credentials = load(default_scopes=_SCOPES, request=request)[0]
            credentials.refresh(request)
            return str(credentials.token)
    except exceptions.TransportError as error:
        host = re.search(r"host='([^']+)'", str(error))
        raise CredentialsError(
            f"{host[1] if host else 'Google'} cannot be reached to renew your credentials: check "
            "the network, and HTTPS_PROXY if you need a proxy"
        ) from None
    except exceptions.DefaultCredentialsError as error:
        if file is None:
            raise CredentialsError(
                f"there are no application-default credentials for {_PARTS}: type {_LOGIN}"
            ) from None
        raise CredentialsError(f"{file}: {_one_line(error)}: log in with {_LOGIN}") from None
    except (exceptions.GoogleAuthError, ValueError) as error:
        raise CredentialsError(
            f"Google refuses your application-default credentials ({_one_line(error)}): "
            + _remedy(file, kind, str(error))
        ) from None


def _remedy(file: Path | None, kind: str, refusal: str) -> str:
    if "impersonated credentials" in refusal:
        return (
            "to impersonate a service account you need roles/iam.serviceAccountTokenCreator on it"
        )
    if kind in ("service_account", "external_account"):
        return f"replace {file}, or type `unset {_NAMED}` and log in with {_LOGIN}"
    return f"log in again with {_LOGIN}"


def _one_line(error: Exception) -> str:
    text = str(error.args[0] if error.args else error)
    return " ".join(text.split())[:_SHOWN_LETTERS]


if __name__ == "__main__":
    run_command(main)
