"""Pictures as events, with OpenAI's package for Python."""

import openai


def _events(address, **options):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="unused")
    asked = {"prompt": "a small red circle on white", "stream": True, **options}
    return [event.model_dump() for event in client.images.generate(**asked)]


def partial_images(address):
    return _events(address, partial_images=2, model="gpt-image-1", output_format="jpeg")


def without_partial_images(address):
    return _events(address)


def two_pictures(address):
    return _events(address, n=2, partial_images=1)
