"""What people write with LlamaIndex's tool for OpenAI's pictures."""

import base64
import os
from pathlib import Path

from llama_index.tools.openai.image_generation.base import OpenAIImageGenerationToolSpec

PROMPT = "a small red circle on white"


def _tool(address):
    os.environ["OPENAI_BASE_URL"] = f"{address}/v1"
    return OpenAIImageGenerationToolSpec(api_key="unused", cache_dir="pictures")


def url(address):
    return _tool(address).image_generation(PROMPT)


def download(address):
    (path,) = _tool(address).image_generation(PROMPT, model="dall-e-2", download=True)
    return base64.b64encode(Path(path).read_bytes()).decode()
