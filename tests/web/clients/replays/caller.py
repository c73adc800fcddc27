"""Sends what a program sends, header for header."""

from __future__ import annotations

from typing import Any

import requests

LIMIT_SECONDS = 60


class Caller(requests.Session):
    """Asks one service, always with the same headers.

    httpx, with which the other tests ask, refuses to send `Authorization: Basic ` with nothing
    behind it.
    """

    def __init__(self, address: str, **headers: str) -> None:
        super().__init__()
        self._address = address
        self.trust_env = False
        self.headers.update(headers)

    def request(self, method: Any, url: Any, *positional: Any, **options: Any) -> Any:
        options.setdefault("timeout", LIMIT_SECONDS)
        return super().request(method, f"{self._address}{url}", *positional, **options)

    def read(self, path: str) -> Any:
        """The JSON of an answer that is no error."""
        answer = self.get(path)
        answer.raise_for_status()
        return answer.json()
