"""The init container's script, run by a real bash against stand-ins for Google's servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_export.export import VERSION_FOLDER
from model_export.manifest import FileEntry
from model_export.publish import upload_order
from serving.tensorflow_serving.model_wait import wait_command
from tests.serving.tensorflow_serving.mounted import mounted

TOKEN = "ya29.a-token-that-nobody-may-see"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
MODEL_PATH = "gs://models-1/models/0a1b"
FILE = f"{MODEL_PATH}/1/saved_model.pb"
OBJECT_PATH = "/storage/v1/b/models-1/o/models%2F0a1b%2F1%2Fsaved_model.pb?fields=size"
READER, ROLE = "diffusion-serving/model-server", "roles/storage.objectViewer"
UP = "make up STACK=mine"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not on PATH"),
]


@dataclass
class Google:
    """A metadata server over HTTP and a bucket over TLS.

    Each answers with its next status, and with the last one from then on; 0 closes the connection.
    """

    token_statuses: list[int] = field(default_factory=lambda: [200])
    object_statuses: list[int] = field(default_factory=lambda: [200])
    requests: list[str] = field(default_factory=list)
    metadata_port: int = 0
    storage_port: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> tuple[int, object]:
        path = handler.path
        self.requests.append(path)
        if path == TOKEN_PATH and handler.headers["Metadata-Flavor"] == "Google":
            status = _next(self.token_statuses)
            token = {"access_token": TOKEN, "expires_in": 3599}
            return status, token if status == 200 else "IAM returned 404\nno such account"
        if path == OBJECT_PATH and handler.headers["Authorization"] == f"Bearer {TOKEN}":
            message = "caller does not have storage.objects.get access"
            status = _next(self.object_statuses)
            error = {"code": status, "message": message if status == 403 else "Not found"}
            return status, {"size": "123"} if status == 200 else {"error": error}
        return 400, {}


def _next(statuses: list[int]) -> int:
    return statuses.pop(0) if len(statuses) > 1 else statuses[0]


@contextlib.contextmanager
def listening(google: Google, certificate: Path | None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = google.answer(self)
            if status:
                self.send_response(status)
                self.end_headers()
                text = body if isinstance(body, str) else json.dumps(body, indent=2)
                self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust the certificate hangs up

    with Server(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def certificate(folder: Path, host: str) -> Path:
    """A self-signed certificate of `host` with its key: its own authority."""
    path = folder / f"{host}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={host}"]
    command += ["-addext", f"subjectAltName=DNS:{host}", "-keyout", path, "-out", folder / "only"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (folder / "only").read_text())
    return path


@pytest.fixture(scope="module")
def localhost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("certificates"), "localhost")


@pytest.fixture
def google(localhost: Path) -> Iterator[Google]:
    one = Google()
    with listening(one, None) as one.metadata_port, listening(one, localhost) as one.storage_port:
        yield one


def start(
    google: Google,
    trusted: Path,
    *,
    patience_seconds: int = 60,
    report_seconds: int = 30,
    **environment: str,
) -> subprocess.Popen[str]:
    command = wait_command(
        reader=READER,
        role=ROLE,
        up=UP,
        patience_seconds=patience_seconds,
        pause_seconds=0.2,
        report_seconds=report_seconds,
        storage_host="localhost",
        storage_port=google.storage_port,
    )
    own = {
        "PATH": os.environ["PATH"],
        "MODEL_PATH": MODEL_PATH,
        "GCE_METADATA_HOST": f"127.0.0.1:{google.metadata_port}",
        "SSL_CERT_FILE": str(trusted),
    }
    return subprocess.Popen(
        mounted(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**own, **environment},
    )


def run(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code, and the lines without their times."""
    output = process.communicate(timeout=120)[0]
    assert TOKEN not in output
    return process.returncode, [re.sub(r"^\d+ s: ", "", line) for line in output.splitlines()]


def test_a_model_that_can_be_read_is_not_waited_for(google: Google, localhost: Path) -> None:
    assert run(start(google, localhost)) == (0, [f"ready to read {FILE}"])
    assert google.requests == [TOKEN_PATH, OBJECT_PATH]


def test_the_file_that_is_waited_for_is_uploaded_last() -> None:
    names = (
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "assets.extra/LICENSE",
    )
    files = [FileEntry(f"{VERSION_FOLDER}/{name}", 1, "") for name in names]
    assert f"{MODEL_PATH}/{upload_order(files)[-1].path}" == FILE


def test_what_is_missing_is_waited_for_and_said_once(google: Google, localhost: Path) -> None:
    google.token_statuses = [0, 0, 500, 200]
    google.object_statuses = [403, 403, 404, 503, 200]
    code, (no_token, no_account, forbidden, missing, busy, ready) = run(start(google, localhost))
    assert code == 0
    assert no_token.startswith("no token: the metadata server 127.0.0.1:")
    assert "workload identity" in no_token and "answers 'nothing'" in no_token
    said = "'500 Internal Server Error: IAM returned 404 no such account'"
    assert f"answers {said}" in no_account
    assert forbidden.startswith(f"403 Forbidden for {FILE} (caller does not have storage.objects")
    assert f"{READER} lacks {ROLE} on gs://models-1" in forbidden and "minutes" in forbidden
    assert missing.startswith(f"404 Not Found for {FILE} (Not found): ")
    assert "`make up STACK=mine` grants it" in forbidden
    assert "`make up STACK=mine` uploads it" in missing
    assert busy.startswith("503 Service Unavailable")
    assert ready == f"ready to read {FILE}"


def test_a_long_wait_is_reported_again_with_the_time_it_took(
    google: Google, localhost: Path
) -> None:
    google.object_statuses = [404]
    process = start(google, localhost, patience_seconds=4, report_seconds=1)
    output = process.communicate(timeout=60)[0]
    times = [int(one) for one in re.findall(r"(?m)^(\d+) s: 404 ", output)]
    assert len(times) >= 3 and times == sorted(set(times))


def test_patience_ends_with_the_last_reason(google: Google, localhost: Path) -> None:
    google.object_statuses = [403]
    code, lines = run(start(google, localhost, patience_seconds=1))
    assert code == 1
    assert re.fullmatch(r"gave up after [2-9] s: 403 Forbidden for .*", lines[-1])
    assert len(lines) == 2


def test_the_last_attempt_has_time_after_the_patience() -> None:
    command = wait_command(reader=READER, role=ROLE, up=UP, patience_seconds=600)
    assert command[:2] == ["timeout", "660"]


def test_a_certificate_of_an_unknown_authority_gets_no_token(
    google: Google, localhost: Path, tmp_path: Path
) -> None:
    other = certificate(tmp_path, "localhost")
    code, lines = run(start(google, other, patience_seconds=1))
    assert code == 1
    assert lines[0].startswith(f"no answer from localhost:{google.storage_port} (verify error:")
    assert set(google.requests) == {TOKEN_PATH}


def test_a_certificate_of_another_host_gets_no_token(google: Google, tmp_path: Path) -> None:
    other = certificate(tmp_path, "example.test")
    with listening(google, other) as google.storage_port:
        code, lines = run(start(google, other, patience_seconds=1))
    assert code == 1
    assert "verify error:num=62:" in lines[0]  # the host name does not match
    assert set(google.requests) == {TOKEN_PATH}


def test_without_openssl_only_the_login_is_waited_for(
    google: Google, localhost: Path, image_programs: Path, tmp_path: Path
) -> None:
    for path in image_programs.iterdir():
        if path.name != "openssl":
            (tmp_path / path.name).symlink_to(path)
    code, (said,) = run(start(google, localhost, PATH=str(tmp_path)))
    assert code == 0
    assert said.startswith("the image has no openssl, so only the login was checked")
    assert google.requests == [TOKEN_PATH]


def test_a_mounted_model_is_waited_for_without_a_login(
    google: Google, localhost: Path, tmp_path: Path
) -> None:
    process = start(google, localhost, MODEL_PATH=str(tmp_path))
    assert process.stdout
    first = process.stdout.readline()
    file = tmp_path / "1/saved_model.pb"
    assert f"{file} is not in the mounted bucket" in first
    file.parent.mkdir()
    file.write_bytes(b"graph")
    assert run(process) == (0, [f"ready to read {file}"])
    assert google.requests == []


def test_sigterm_ends_the_wait_at_once(google: Google, localhost: Path) -> None:
    google.token_statuses = [0]
    with start(google, localhost, patience_seconds=600) as process:
        assert process.stdout and "no token" in process.stdout.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
        assert process.stdout.read() == ""  # nothing that it started holds the output open
        assert time.monotonic() - began < 5


def test_the_token_is_in_no_command_line(google: Google, localhost: Path) -> None:
    """Seen while openssl waits for the bucket's answer."""
    shown: list[bytes] = []

    class Looking(list[int]):
        def __len__(self) -> int:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    shown.append(path.read_bytes())
            return 1

    google.object_statuses = Looking([200])
    assert run(start(google, localhost))[0] == 0
    ours = [line for line in shown if b"saved_model.pb" in line or b"s_client" in line]
    assert any(line.startswith(b"openssl\0") for line in ours)
    assert not any(TOKEN.encode() in line for line in shown)
