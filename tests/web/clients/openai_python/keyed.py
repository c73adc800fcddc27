"""A service that asks for a key, with OpenAI's package for Python."""

import os
import threading

import openai

PROMPT = "a small red circle on white"


def _images(address, key):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key).images


def drawn(address):
    result = _images(address, os.environ["KEY"]).generate(prompt=PROMPT)
    return result.data[0].b64_json


def refused(address):
    return _images(address, "nobodys-key-0123456789").generate(prompt=PROMPT).model_dump()


def drawn_with_more_jobs_than_allowed(address):
    """Both at a time, of which the service takes one."""
    images, retries = _images(address, os.environ["KEY"]), []

    def draw():
        raw = images.with_raw_response.generate(prompt=PROMPT)
        assert raw.parse().data
        retries.append(raw.retries_taken)

    both = [threading.Thread(target=draw) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    return retries
