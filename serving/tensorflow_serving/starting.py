"""How the server starts and stops: under bash, since the stock server ignores SIGTERM.

If there is no model to serve, bash ends the container. When the pod stops, it ends the server once
the web service beside it has closed its port: that draws the last pictures. Where others send
requests to the server itself, it also waits for theirs.
"""

from __future__ import annotations

from serving.names import WEB_PORT
from serving.tensorflow_serving.scripts import bash_command

SERVER = "tensorflow_model_server"
PROCESS_NAME = SERVER[:15]
"""As in /proc, which truncates names."""


def start_command(
    server: str = SERVER, *, raw_seconds: float = 0, web_port: int = WEB_PORT
) -> list[str]:
    """Replaces the image's entry point; the server's flags follow it as arguments.

    raw_seconds: for how long of a stop others still send requests to the server itself; 0 if
    nobody does.
    """
    return bash_command("start", web_port, raw_seconds, server)
