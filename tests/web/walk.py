"""All routes that the application has, whichever API they belong to."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.web.stub_model_server import Behaviour, description_of
from web.application import create_app
from web.options import Options
from web.roles import Role
from web.service import Service

Route = tuple[str, str]


def routes_in(routes: Iterable[Any]) -> Iterator[Route]:
    """Method and path; a parameter of the path is called `one`, or 0."""
    for route in routes:
        if hasattr(route, "original_router"):  # one that was included
            yield from routes_in(route.original_router.routes)
            continue
        path = route.path.replace("{number}", "0")
        while "{" in path:
            path = f"{path[: path.index('{')]}one{path[path.index('}') + 1 :]}"
        for method in sorted(set(route.methods) - {"HEAD"}):
            yield method, path


def routes_of(role: Role) -> list[Route]:
    """All of a role's."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Options(**options_of(role, folder)))
    return sorted(set(routes_in(create_app(service).routes)))


def options_of(role: Role, folder: str) -> dict[str, Any]:
    """What a role needs, without anything behind it."""
    if role is not Role.FRONT:
        return {"role": role, "model_servers": ("127.0.0.1:1",)}
    file = Path(folder, "model.json")
    file.write_text(json.dumps(description_of(Behaviour())))
    return {
        "role": role,
        "model_servers": (),
        "worker_url": "http://127.0.0.1:1",
        "model_description": str(file),
    }


ROUTES = routes_of(Role.BOTH)
