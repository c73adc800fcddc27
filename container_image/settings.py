"""How the image is laid out and run. `web/Dockerfile` says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LOCK = Path("web/requirements.lock")
"""In the checkout."""
FOLDER = "app"
PACKAGES = f"{FOLDER}/site"
"""Folders of the image: this checkout's files, and the wheels'."""

ENVIRONMENT = {
    "PYTHONPATH": f"/{FOLDER}:/{PACKAGES}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
RUN: dict[str, Any] = {
    "User": "65532:65532",
    "WorkingDir": f"/{FOLDER}",
    "Entrypoint": ["python3", "-m", "web"],
    "ExposedPorts": {"8080/tcp": {}, "8081/tcp": {}},
    "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
}
"""In the words of an image's config."""
PYTHONS = ("3.11", "3.12", "3.13")
"""Which the lock has wheels for."""
