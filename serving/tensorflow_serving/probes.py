"""Probes that ask for the model's state: the status page answers 200 also for a removed model.

Whoever reaches the gRPC port can unload the model. A pod without it is not ready, and is restarted.
"""

from __future__ import annotations

from model_export.spec import MODEL_NAME, REST_PORT
from serving.tensorflow_serving.scripts import bash_command
from serving.tensorflow_serving.starting import PROCESS_NAME

ANSWER_SECONDS = 5
"""How long a probe waits for an answer. It takes some ten milliseconds of CPU time."""


def ready_command(port: int = REST_PORT, answer_seconds: float = ANSWER_SECONDS) -> list[str]:
    """Succeeds only if the model is AVAILABLE."""
    return bash_command("probe", "ready", MODEL_NAME, port, answer_seconds, PROCESS_NAME)


def alive_command(
    port: int = REST_PORT,
    answer_seconds: float = ANSWER_SECONDS,
    process_name: str = PROCESS_NAME,
) -> list[str]:
    """Fails only if the model was unloaded, or there is none of this name, or no server.

    A server that loads or draws may be slow to answer, and killing it would lose its requests.
    """
    return bash_command("probe", "alive", MODEL_NAME, port, answer_seconds, process_name)
