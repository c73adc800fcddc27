"""A stand-in for `python -m devserver` that starts at once: for tests of its process, not of what
it serves."""

from __future__ import annotations

from pathlib import Path

MODEL = Path("/models/abc")

_MAIN = """
import http.server, sys, threading
flags = dict(one.removeprefix("--").split("=", 1) for one in sys.argv[1:])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"model_version_status": [{"state": "AVAILABLE"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.HTTPServer((flags["host"], int(flags["rest_api_port"])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if sys.stdin.buffer.readline() == b"keep\\n":
    threading.Event().wait()
"""


def write(root: Path) -> Path:
    """A project folder whose `devserver` is the stand-in."""
    package = root / "devserver"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(_MAIN)
    return root
