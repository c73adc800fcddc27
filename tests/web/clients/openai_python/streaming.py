"""Pictures as events, and callers who give up, with OpenAI's package for Python."""

import openai

PROMPT = "a small red circle on white"


def _images(address, **options):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="unused", **options).images


def _events(address, **options):
    asked = {"prompt": PROMPT, "stream": True, **options}
    return [event.model_dump() for event in _images(address).generate(**asked)]


def partial_images(address):
    return _events(address, partial_images=2, model="gpt-image-1", output_format="jpeg")


def without_partial_images(address):
    return _events(address)


def two_pictures(address):
    return _events(address, n=2, partial_images=1)


def closed_after_a_partial_image(address):
    steps = {"steps": 50}
    asked = {"prompt": PROMPT, "stream": True, "partial_images": 3, "extra_body": steps}
    with _images(address).generate(**asked) as stream:
        return next(iter(stream)).type


def with_three_seconds_of_patience(address):
    images = _images(address, timeout=3, max_retries=0)
    return images.generate(prompt=PROMPT, extra_body={"steps": 50}).model_dump()
