"""Who may ask: whoever has a key, if the service has keys. What is not open by name is closed.

Wrong keys are not counted by address, nor are their callers kept waiting: behind a load balancer
all callers share a few addresses, so that one of them could lock out the others, and no number of
tries finds a key of twenty characters that was drawn.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from web.answers import FaultAnswers
from web.faults import Fault
from web.safety.credentials import credentials
from web.safety.keys_file import KeysFile
from web.safety.owner import ANONYMOUS, hashed, set_owner

OPEN_PATHS = frozenset({"/", "/health", "/ready"})
"""What may be read without a key: the page itself, and the probes, which tell no detail."""
KEY_NAME = "key_name"
"""In a request's state: for the log."""
INVALID_KEY = "invalid_api_key"
"""OpenAI's word."""

_BASIC_PREFIX = "/sdapi/"
"""A browser asks for a password where Basic is offered: the page would not be asked to."""


class KeyGuard:
    """Answers requests without a good key; tells the others' owner.

    The owner is the key's name, so that jobs outlast an exchange of the key. Without keys each
    credential is an owner, unchecked.
    """

    def __init__(self, app: ASGIApp, answers: FaultAnswers, keys_file: KeysFile | None) -> None:
        self._app = app
        self._answers = answers
        self._keys_file = keys_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await self._answers.answer(scope["path"], refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Fault | None:
        given = credentials(scope["headers"])
        if self._keys_file is None:
            set_owner(scope, hashed(next(filter(None, given), b"")))
            return None
        if scope["path"] in OPEN_PATHS and scope["method"] == "GET":
            set_owner(scope, ANONYMOUS)
            return None
        if not given:
            return _unauthorized(
                scope["path"],
                "this service asks for a key: send it as 'Authorization: Bearer KEY', as "
                "X-Api-Key, or as the password of Basic",
            )
        if len(set(given)) > 1:
            return _unauthorized(scope["path"], "the request has several keys: send one")
        name = self._keys_file.keys.name_of(given[0])
        if name is None:
            return _unauthorized(
                scope["path"],
                "this key is not one of the service's: ask whoever runs it for yours",
            )
        set_owner(scope, name)
        scope["state"][KEY_NAME] = name
        return None


def _unauthorized(path: str, message: str) -> Fault:
    scheme = 'Basic realm="diffusion"' if path.startswith(_BASIC_PREFIX) else "Bearer"
    return Fault(401, INVALID_KEY, message, headers={"www-authenticate": scheme})
