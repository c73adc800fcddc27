"""How the server starts: under bash, which ends the container if there is no model to serve."""

from __future__ import annotations

from serving.tensorflow_serving.scripts import bash_command

SERVER = "tensorflow_model_server"
PROCESS_NAME = SERVER[:15]
"""As in /proc, which truncates names."""


def start_command(server: str = SERVER) -> list[str]:
    """Replaces the image's entry point; the server's flags follow it as arguments."""
    return bash_command("start", server)
