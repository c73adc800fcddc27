"""How a registry lets its callers in: Basic, or a Bearer token from the realm that it names."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from container_image.errors import RefusedError, RegistryError

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_MOST_MESSAGE = 300
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Login:
    """A user and a password, which may be a token of one hour."""

    user: str
    password: str = field(repr=False)


Logins = Callable[[str], Login | None]
"""Who to be at a host; None is nobody. Asked when an image is made: nothing of it is kept."""


class Authorization(AuthBase):
    """The header for one registry, and for no other host that it redirects to.

    As `requests`' own kind of object it also keeps passwords of ~/.netrc away.
    """

    def __init__(self, host: str, login: Login | None) -> None:
        self._host, self._login, self._header = host, login, ""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header and urlsplit(r.url or "").netloc == self._host:
            r.headers["Authorization"] = self._header
        return r

    def answer(self, challenge: str, get: Callable[..., requests.Response]) -> bool:
        """Take in what a 401 asks for. Whether there is an answer to it."""
        scheme, _, parameters = challenge.partition(" ")
        if scheme.lower() == "bearer":
            self._header = f"Bearer {self._token(dict(_PARAMETER.findall(parameters)), get)}"
            return True
        if scheme.lower() == "basic" and self._login:
            self._header = _basic(self._login)
            return True
        return False

    def _token(self, asked: dict[str, str], get: Callable[..., requests.Response]) -> str:
        realm = asked.get("realm", "")
        if not is_safe(realm):
            raise RegistryError(f"{self._host} sends callers to log in at {realm!r}, without TLS")
        query = {"service": asked.get("service", ""), "scope": asked.get("scope", "").split()}
        header = {"Authorization": _basic(self._login)} if self._login else {}
        answer = get(realm, params=query, headers=header, auth=_Unchanged())
        if answer.status_code != requests.codes.ok:
            who = "a caller without login" if self._login is None else f"user {self._login.user}"
            raise RefusedError(
                f"{self._host} gives {who} no access to {asked.get('scope') or 'it'}: it answers "
                f"{answer.status_code}{said_by(answer)}",
                answer.status_code,
            )
        try:
            content: Any = answer.json()
            return str(content.get("token") or content["access_token"])
        except (ValueError, KeyError, AttributeError):
            raise RegistryError(f"{realm} answers without a token") from None


class _Unchanged(AuthBase):
    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        return r


def is_safe(url: str) -> bool:
    """Whether a password may go there: by TLS, or on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def base_url(host: str) -> str:
    """Of a registry: without TLS only on this machine, as other tools do."""
    is_here = urlsplit(f"//{host}").hostname in _LOOPBACK
    return f"{'http' if is_here else 'https'}://{host}"


def said_by(answer: requests.Response) -> str:
    """What a registry says of an error, in one line, after a space."""
    try:
        content: Any = answer.json()
        text = str(content["errors"][0].get("message") or content["errors"][0]["code"])
    except (requests.RequestException, ValueError, LookupError, AttributeError, TypeError):
        return ""
    return f" ({' '.join(text.split())[:_MOST_MESSAGE]})"


def _basic(login: Login) -> str:
    text = f"{login.user}:{login.password}".encode()
    return f"Basic {base64.b64encode(text).decode()}"
