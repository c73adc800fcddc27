"""A small Kubernetes API server over TLS on loopback, and a credential plugin for it."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMESPACE = "/api/v1/namespaces/diffusion-serving"
APPS = "/apis/apps/v1/namespaces/diffusion-serving"
DEPLOYMENT = f"{APPS}/deployments/model-server"

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Identity:
    """A self-signed certificate for loopback, and its key (PEM). It is its own authority."""

    certificate: str
    key: str

    @classmethod
    def make(cls, name: str = "127.0.0.1") -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begin = datetime.now(UTC) - timedelta(hours=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(certificate.public_bytes(pem).decode(), private.decode())


@dataclass
class ApiStub:
    """`objects` are answered by path; a function in their place is called for each answer."""

    folder: Path
    identity: Identity
    token: str = "token-1"
    url: str = ""
    objects: dict[str, Any] = field(default_factory=dict[str, Any])
    failures: list[Answer] = field(default_factory=list[Answer])
    """Answered first, one each."""
    requests: list[str] = field(default_factory=list[str])
    client_certificates: list[Any] = field(default_factory=list[Any])

    @property
    def plugin(self) -> Path:
        return self.folder / "auth-plugin"

    def write_plugin(self, body: str = "") -> None:
        """Prints the current token, and notes how it was called; or does what `body` says."""
        told = repr(str(self.folder / "told.jsonl"))
        default = (
            f"open({told}, 'a').write(os.environ['KUBERNETES_EXEC_INFO'] + '\\n')\n"
            "status = {'token': pathlib.Path(sys.argv[1]).read_text()}\n"
            "print(json.dumps({'kind': 'ExecCredential', 'status': status}))\n"
        )
        script = f"#!{sys.executable}\nimport json, os, pathlib, sys\n{body or default}"
        self.plugin.write_text(script, encoding="utf-8")
        self.plugin.chmod(0o755)
        self.plugins_token(self.token)

    def plugins_token(self, token: str) -> None:
        (self.folder / "token").write_text(token, encoding="utf-8")

    def plugin_calls(self) -> list[dict[str, Any]]:
        file = self.folder / "told.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def kubeconfig(self, *, authority: bool = True) -> str:
        data = base64.b64encode(self.identity.certificate.encode()).decode()
        cluster = {
            "server": self.url,
            **({"certificate-authority-data": data} if authority else {}),
        }
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": str(self.plugin),
            "args": [str(self.folder / "token")],
            "interactiveMode": "Never",
            "provideClusterInfo": True,
        }
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "c", "user": {"exec": plugin}}],
            }
        )

    def answer(self, path: str, authorization: str | None) -> Answer:
        self.requests.append(path)
        if self.failures:
            return self.failures.pop(0)
        if authorization != f"Bearer {self.token}" and not self.client_certificates:
            return 401, {"kind": "Status", "message": "Unauthorized"}
        found = self.objects.get(path.partition("?")[0])
        if isinstance(found, Callable):
            found = found()
        if found is None:
            return 404, {"kind": "Status", "message": "not found"}
        return 200, _page(found, path) if isinstance(found, list) else found


def _page(objects: list[Any], path: str) -> dict[str, Any]:
    """A list in parts of `limit` objects, as the API server gives it."""
    query = parse_qs(urlparse(path).query)
    start, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
    end = start + limit
    left = {"continue": str(end)} if end < len(objects) else {}
    return {"items": objects[start:end], "metadata": left}


@contextlib.contextmanager
def api_stub(folder: Path, **options: Any) -> Iterator[ApiStub]:
    folder.mkdir(parents=True, exist_ok=True)
    stub = ApiStub(folder, Identity.make(), **options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            stub.client_certificates = [self.connection.getpeercert()]  # type: ignore[attr-defined]
            stub.client_certificates = [one for one in stub.client_certificates if one]
            code, body = stub.answer(self.path, self.headers.get("Authorization"))
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = folder / "server.pem"
    pem.write_text(stub.identity.certificate + stub.identity.key, encoding="ascii")
    context.load_cert_chain(pem)
    context.load_verify_locations(cadata=stub.identity.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    server.socket = context.wrap_socket(server.socket, server_side=True)
    stub.url = f"https://127.0.0.1:{server.server_address[1]}"
    stub.write_plugin()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
