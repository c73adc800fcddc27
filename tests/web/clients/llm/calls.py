"""What people type with the command `llm` and its plugin llm-openai-images."""

import base64
import os
import subprocess
from pathlib import Path


def command(address):
    variables = {"OPENAI_API_KEY": "unused", "OPENAI_BASE_URL": f"{address}/v1"}
    model = ["llm", "-m", "openai/gpt-image-1.5", "-o", "output", "circle.png"]
    subprocess.run(
        [*model, "a small red circle on white"],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return base64.b64encode(Path("circle.png").read_bytes()).decode()
