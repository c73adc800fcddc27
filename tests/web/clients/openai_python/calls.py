"""What people write with OpenAI's package for Python."""

import openai

PROMPT = "a small red circle on white"


def _client(address, **options):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="unused", **options)


def _generate(address, **options):
    return _client(address).images.generate(prompt=PROMPT, **options).model_dump()


def generate_default(address):
    result = _client(address).images.generate(prompt=PROMPT)
    return {**result.model_dump(), "request_id": result._request_id}


def size_auto(address):
    return _generate(address, size="auto", model="gpt-image-1", quality="auto", background="auto")


def another_size(address):
    return _generate(address, size="1024x1536")


def strict_size(address):
    return _generate(address, size="1024x1536", extra_body={"strictSize": True})


def response_format_url(address):
    return _generate(address, model="dall-e-3", response_format="url", style="vivid", quality="hd")


def response_format_b64_json(address):
    return _generate(address, model="dall-e-2", response_format="b64_json")


def response_format_left_out(address):
    models = ("dall-e-2", "dall-e-3", "stable-diffusion", "gpt-image-1", "gpt-image-2")
    return {model: _generate(address, model=model) for model in models}


def output_formats(address):
    return {
        file_format: _generate(address, output_format=file_format, output_compression=80)
        for file_format in ("png", "jpeg", "webp")
    }


def three_pictures(address):
    return _generate(address, n=3)


def same_seed_twice(address):
    keys = {"seed": 7, "steps": 3, "guidance_scale": 5.0, "negative_prompt": "blue"}
    return [_generate(address, extra_body=keys) for _ in range(2)]


def too_many_pictures(address):
    return _generate(address, n=11)


def stream_of_a_bad_request(address):
    return list(_client(address).images.generate(prompt=PROMPT, n=11, stream=True))


def _edit(address, **options):
    return _client(address).images.edit(prompt=PROMPT, **options).model_dump()


PNG = ("picture.png", bytes.fromhex("89504e470d0a1a0a") + bytes(3_000_000), "image/png")


def edit_one(address):
    return _edit(address, image=PNG)


def edit_list(address):
    return _edit(address, image=[PNG, PNG])


def edit_mask(address):
    return _edit(address, image=PNG, mask=PNG)


def variation(address):
    return _client(address).images.create_variation(image=PNG).model_dump()


def models(address):
    listed = _client(address).models.list().data
    return [model.model_dump() for model in listed]


def model_of_the_list(address):
    client = _client(address)
    return client.models.retrieve(client.models.list().data[0].id).model_dump()


def unknown_model(address):
    return _client(address).models.retrieve("no-such-model").model_dump()


def strict_model(address):
    return _generate(address, model="no-such-model", extra_body={"strictModel": True})
