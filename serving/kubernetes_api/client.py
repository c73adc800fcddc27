"""GET requests to a Kubernetes API server: verified TLS, bounded, fresh credentials on a 401."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any

import httpx

from serving.kubernetes_api.kubeconfig import Kubeconfig, load_client_certificate

_REQUEST_SECONDS = 15
_OBJECTS_AT_ONCE = 500
_TRANSIENT = frozenset({408, 429, *range(500, 600)})


class ApiError(Exception):
    """The API server refuses a request, and would again. One line."""


class TransientApiError(Exception):
    """The API server cannot be reached, or cannot answer at the moment. One line."""


class KubernetesApi:
    """Reads objects. `now` is the server's clock at its last answer, which its objects go by."""

    now: datetime

    def __init__(self, config: Kubeconfig) -> None:
        self._config = config
        self._client: httpx.Client | None = None
        self.now = datetime.now(UTC)

    def __enter__(self) -> KubernetesApi:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._forget_credentials()

    def get(self, path: str) -> dict[str, Any] | None:
        """An object; None if there is none. Raises ApiError, TransientApiError, CredentialError."""
        return self._get(path, {})

    def list(self, path: str, **selectors: str) -> list[dict[str, Any]]:
        """All objects, chosen by `labelSelector` and `fieldSelector`."""
        query = {**selectors, "limit": str(_OBJECTS_AT_ONCE)}
        objects: list[dict[str, Any]] = []
        while found := self._get(path, query):
            objects += found["items"]
            query["continue"] = found["metadata"].get("continue") or ""
            if not query["continue"]:
                break
        return objects

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        response = self._ask(path, query)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            # A token lives for an hour.
            self._forget_credentials()
            response = self._ask(path, query)
        if "date" in response.headers:
            self.now = parsedate_to_datetime(response.headers["date"])
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        if response.is_success:
            return _decoded(response)
        reason = f"the Kubernetes API answers {response.status_code}: {_message(response)}"
        raise (TransientApiError if response.status_code in _TRANSIENT else ApiError)(reason)

    def _ask(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        if self._client is None:
            self._client = self._connected()
        try:
            return self._client.get(path, params=query)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in said:
                raise ApiError(f"{self._config.server} is not the cluster: {said}") from None
            reason = f"the Kubernetes API at {self._config.server} does not answer: {said}"
            raise TransientApiError(reason) from None

    def _connected(self) -> httpx.Client:
        found = self._config.credentials()
        if self._config.authority:
            context = ssl.create_default_context(cadata=self._config.authority)
        else:
            context = httpx.create_ssl_context()  # SSL_CERT_FILE, or else the public authorities
        load_client_certificate(context, found)
        headers = {"Authorization": f"Bearer {found.token}"} if found.token else {}
        return httpx.Client(
            base_url=self._config.server,
            verify=context,
            headers={**headers, "Accept": "application/json"},
            timeout=_REQUEST_SECONDS,
        )

    def _forget_credentials(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


def _decoded(response: httpx.Response) -> dict[str, Any]:
    try:
        return response.json()
    except ValueError:
        raise TransientApiError("the Kubernetes API's answer is not JSON") from None


def _message(response: httpx.Response) -> str:
    """The message of the API server's Status object, or of what stands in its place."""
    try:
        message = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text
    return " ".join(message.split())[:300] or response.reason_phrase
