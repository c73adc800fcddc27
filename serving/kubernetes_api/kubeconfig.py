"""A kubeconfig's server and credentials, with a credential plugin run as kubectl runs it."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLUGIN_SECONDS = 60
_PLUGIN_PACKAGE = "`gcloud components install gke-gcloud-auth-plugin`"


class CredentialError(Exception):
    """There are no credentials for the API server. One line, with what to do."""


@dataclass(frozen=True)
class Credentials:
    """What a plugin answers: a token, or a client certificate with its key (PEM), or both."""

    token: str
    certificate: str
    key: str


@dataclass(frozen=True)
class Kubeconfig:
    """The current context. `authority` is the server's CA (PEM); empty for a public one."""

    server: str
    authority: str
    plugin: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Kubeconfig:
        """Reads the JSON form."""
        config = json.loads(text)
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
        authority = cluster.get("certificate-authority-data", "")
        return cls(cluster["server"], base64.b64decode(authority).decode(), user["exec"])

    def credentials(self) -> Credentials:
        """Runs the credential plugin. Raises CredentialError."""
        name = str(self.plugin["command"])
        try:
            ran = subprocess.run(
                [name, *(self.plugin.get("args") or [])],
                env=self._plugin_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_PLUGIN_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise CredentialError(
                f"{name} is not installed: run {_PLUGIN_PACKAGE} or your package manager's way"
            ) from None
        except subprocess.TimeoutExpired:
            raise CredentialError(f"{name} gave no answer within {_PLUGIN_SECONDS} s") from None
        if ran.returncode != 0:
            said = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise CredentialError(f"{name} failed with exit code {ran.returncode}: {said}")
        return _credentials(name, ran.stdout)

    def _plugin_environment(self) -> dict[str, str]:
        version = self.plugin["apiVersion"]
        about: dict[str, Any] = {"interactive": False}
        if self.plugin.get("provideClusterInfo"):
            cluster = {"server": self.server}
            if self.authority:
                data = base64.b64encode(self.authority.encode()).decode()
                cluster["certificate-authority-data"] = data
            about["cluster"] = cluster
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": about}
        pairs: list[dict[str, str]] = self.plugin.get("env") or []
        own = {pair["name"]: pair["value"] for pair in pairs}
        return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def load_client_certificate(context: ssl.SSLContext, found: Credentials) -> None:
    """Python reads certificates from files only: they exist for that moment."""
    if not found.certificate:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "client.pem")
        file.touch(mode=0o600)
        file.write_text(f"{found.certificate}\n{found.key}\n", encoding="ascii")
        context.load_cert_chain(file)


def _named(config: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    return next(entry for entry in config[kind] if entry["name"] == name)


def _credentials(plugin: str, answer: str) -> Credentials:
    try:
        status = json.loads(answer)["status"]
        found = Credentials(
            token=status.get("token", ""),
            certificate=status.get("clientCertificateData", ""),
            key=status.get("clientKeyData", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CredentialError(f"{plugin} did not answer with an ExecCredential") from None
    if not (found.token or found.certificate):
        raise CredentialError(f"{plugin} answered without a token and without a certificate")
    return found
