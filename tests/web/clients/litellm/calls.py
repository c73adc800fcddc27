"""What people write with LiteLLM."""

import asyncio

import litellm

PROMPT = "a small red circle on white"


def _options(address):
    return {"model": "openai/stable-diffusion", "api_base": f"{address}/v1", "api_key": "unused"}


def image_generation(address):
    return litellm.image_generation(prompt=PROMPT, **_options(address)).model_dump()


def seed_and_negative_prompt(address):
    extra = {"seed": 7, "negative_prompt": "blue"}
    options = {**_options(address), "n": 2, "size": "512x512", "extra_body": extra}
    return [litellm.image_generation(prompt=PROMPT, **options).model_dump() for _ in range(2)]


def seed_as_a_parameter_of_its_own(address):
    options = {**_options(address), "seed": 7, "negative_prompt": "blue"}
    return [litellm.image_generation(prompt=PROMPT, **options).model_dump() for _ in range(2)]


def aimage_generation(address):
    return asyncio.run(litellm.aimage_generation(prompt=PROMPT, **_options(address))).model_dump()


def bad_request(address):
    return litellm.image_generation(prompt=PROMPT, n=11, **_options(address)).model_dump()
