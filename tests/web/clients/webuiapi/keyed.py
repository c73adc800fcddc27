"""A service that asks for a key, with the package webuiapi: the key is the password."""

import base64
import io
import os

import webuiapi

PROMPT = "a small red circle on white"


def _draw(address, key):
    api = webuiapi.WebUIApi(baseurl=f"{address}/sdapi/v1", username="me", password=key)
    file = io.BytesIO()
    api.txt2img(prompt=PROMPT).image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def drawn(address):
    return _draw(address, os.environ["KEY"])


def refused(address):
    return _draw(address, "nobodys-key-0123456789")
