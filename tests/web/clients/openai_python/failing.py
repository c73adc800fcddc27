"""A model server that fails, seen with OpenAI's package for Python."""

import openai

PROMPT = "a small red circle on white"


def _images(address):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0).images


def generate(address):
    return _images(address).generate(prompt=PROMPT).model_dump()


def stream(address):
    return [event.type for event in _images(address).generate(prompt=PROMPT, stream=True)]
