"""Runs with a client's own Python: make a script's calls, print their outcomes as JSON."""

import importlib.util
import inspect
import json
import sys
import traceback
from pathlib import Path

ATTRIBUTES = ("status_code", "code", "param", "type", "request_id", "args")


def outcome(call, address):
    try:
        return {"returned": call(address)}
    except Exception as error:
        said = {name: getattr(error, name) for name in ATTRIBUTES if hasattr(error, name)}
        said |= {"class": type(error).__name__, "text": str(error)}
        return {"raised": said, "traceback": traceback.format_exc()}


def main(file, address):
    spec = importlib.util.spec_from_file_location("calls", Path(file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outcomes = {
        name: outcome(value, address)
        for name, value in list(vars(module).items())
        if inspect.isfunction(value) and value.__module__ == "calls" and name[0] != "_"
    }
    print(json.dumps(outcomes, default=repr))


if __name__ == "__main__":
    main(*sys.argv[1:])
