"""Stand-ins for Google's token server, files of credentials, and gke-gcloud-auth-plugin."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ACCOUNT = "deployer@my-project-1.iam.gserviceaccount.com"
USER: dict[str, Any] = {
    "type": "authorized_user",
    "client_id": "1234.apps.googleusercontent.com",
    "client_secret": "s",
    "refresh_token": "r",
}


class TokenServer:
    """Answers with a token after `delay_seconds`.

    With a `refusal`, it answers that and 400 to requests whose path contains `refused_path`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.refusal: dict[str, str] = {}
        self.refused_path = ""
        self.delay_seconds = 0.0

    def key(self) -> dict[str, Any]:
        """The content of a service account's key file, whose tokens come from here."""
        return {
            "type": "service_account",
            "project_id": "my-project-1",
            "private_key_id": "1",
            "private_key": _private_key(),
            "client_email": ACCOUNT,
            "token_uri": f"{self.url}/token",
        }


@contextmanager
def token_server() -> Iterator[TokenServer]:
    answers = TokenServer()
    handler = type("Handler", (_Handler,), {"answers": answers})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    poll = {"poll_interval": 0.01}
    thread = threading.Thread(target=server.serve_forever, kwargs=poll, daemon=True)
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def signed_in(folder: Path, content: object) -> dict[str, str]:
    """The environment of a machine with these credentials and the plugin, alone on its PATH."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    plugin = programs / "gke-gcloud-auth-plugin"
    plugin.write_text("#!/bin/sh\n", encoding="utf-8")
    plugin.chmod(0o755)
    file = folder / "credentials.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "PATH": str(programs)}


@functools.cache
def _private_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class _Handler(BaseHTTPRequestHandler):
    answers: TokenServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.answers.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.answers.delay_seconds)
        token = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        impersonated = {"accessToken": "t", "expireTime": "2130-01-01T00:00:00Z"}
        granted = impersonated if "generateAccessToken" in self.path else token
        refusal = self.answers.refusal if self.answers.refused_path in self.path else {}
        data = json.dumps(refusal or granted).encode()
        with contextlib.suppress(ConnectionError):  # of a caller that did not wait
            self.send_response(400 if refusal else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
