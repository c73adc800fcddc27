"""More callers than the service lets wait, with OpenAI's package for Python."""

import json
import threading
import time
import urllib.request

import openai

PROMPT = "a small red circle on white"


def overloaded(address):
    """What a third caller gets while one is drawn for and one waits: it retries."""
    images = _client(address).images
    others = _fill(address)
    raw = images.with_raw_response.generate(prompt=PROMPT)
    for other in others:
        other.join()
    return {"pictures": len(raw.parse().data), "retries": raw.retries_taken}


def overloaded_without_retries(address):
    images = _client(address, max_retries=0).images
    others = _fill(address)
    try:
        return images.generate(prompt=PROMPT).model_dump()
    except openai.InternalServerError as error:
        return {
            "status": error.status_code,
            "code": error.code,
            "type": error.type,
            "retry_after": error.response.headers.get("retry-after"),
        }
    finally:
        for other in others:
            other.join()


def _client(address, **options):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="unused", **options)


def _fill(address):
    """Two callers: the service has room for no other."""
    draw = _client(address).images.generate
    others = [threading.Thread(target=draw, kwargs={"prompt": PROMPT}) for _ in range(2)]
    for other in others:
        other.start()
    while not _has_a_full_queue(address):
        time.sleep(0.01)
    return others


def _has_a_full_queue(address):
    with urllib.request.urlopen(f"{address}/api/v1/status") as answer:
        status = json.load(answer)
    return status["queued"] == 1 and status["drawing"] == 1
