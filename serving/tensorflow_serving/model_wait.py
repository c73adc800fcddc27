"""Waiting for the model before the server starts, which looks for it only once."""

from __future__ import annotations

from serving.tensorflow_serving.scripts import bash_command

_STORAGE_HOST = "storage.googleapis.com"
_LAST_ATTEMPT_SECONDS = 60


def wait_command(
    *,
    reader: str,
    role: str,
    up: str,
    patience_seconds: int,
    pause_seconds: float = 3,
    report_seconds: int = 30,
    storage_host: str = _STORAGE_HOST,
    storage_port: int = 443,
) -> list[str]:
    """Ends once the model's last file can be read, or fails after patience_seconds.

    Its log names the pod's service account (reader), what that needs (role), and the command that
    grants it and uploads the model (up). The model's folder is $MODEL_PATH. `timeout` is there for
    SIGTERM too: it ends bash and what bash waits for, while bash as process 1 would ignore it.
    """
    seconds = (patience_seconds, pause_seconds, report_seconds)
    shown = (reader, role, up)
    script = bash_command("wait_for_model", *seconds, storage_host, storage_port, *shown)
    return ["timeout", str(patience_seconds + _LAST_ATTEMPT_SECONDS), *script]
