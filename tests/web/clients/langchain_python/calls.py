"""What people write with langchain-community's DallEAPIWrapper."""

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

PROMPT = "a small red circle on white"


def run(address):
    return DallEAPIWrapper(base_url=f"{address}/v1", api_key="unused").run(PROMPT)


def run_for_two_pictures(address):
    wrapper = DallEAPIWrapper(base_url=f"{address}/v1", api_key="unused", n=2, quality="hd")
    return wrapper.run(PROMPT)
