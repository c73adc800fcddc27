"""A service that asks for a key, with LiteLLM."""

import os

import litellm

PROMPT = "a small red circle on white"


def _draw(address, key):
    options = {"model": "openai/stable-diffusion", "api_base": f"{address}/v1", "api_key": key}
    return litellm.image_generation(prompt=PROMPT, **options).data[0].b64_json


def drawn(address):
    return _draw(address, os.environ["KEY"])


def refused(address):
    return _draw(address, "nobodys-key-0123456789")
