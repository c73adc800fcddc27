"""A stand-in for `python -m devserver` and `python -m web` that starts at once: for tests of the
process, not of what it serves."""

from __future__ import annotations

from pathlib import Path

from infra.local.server_record import SERVER_NAMES

MODEL = Path("/models/abc")

_MAIN = """
import http.server, sys, threading
flags = {name: value for name, _, value in (word[2:].partition("=") for word in sys.argv[1:])}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"model_version_status": [{"state": "AVAILABLE"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

port = int(flags.get("rest_api_port") or flags["port"])
server = http.server.HTTPServer((flags["host"], port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if sys.stdin.buffer.readline() == b"keep\\n":
    threading.Event().wait()
"""


def write(root: Path) -> Path:
    """A project folder whose `devserver` and `web` are the stand-in."""
    for module in SERVER_NAMES:
        package = root / module
        package.mkdir(parents=True)
        (package / "__main__.py").write_text(_MAIN)
    return root
