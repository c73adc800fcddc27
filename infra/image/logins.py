"""Who to be at a registry, found when an image is made or deleted, and never kept."""

from __future__ import annotations

import os
from collections.abc import Mapping

from container_image import reference
from container_image.errors import RegistryError
from container_image.login import Login, Logins
from infra.gke import credentials

USER, PASSWORD = "WEB_REGISTRY_USER", "WEB_REGISTRY_PASSWORD"
_GOOGLE = "-docker.pkg.dev"
_GOOGLE_USER = "oauth2accesstoken"


def logins(repository: str, given: Mapping[str, str] = os.environ) -> Logins:
    """At Artifact Registry, with Google's application-default credentials.

    One other registry may get the user and the password of the environment: the one that the image
    is pushed to, or if that is Google's, the base image's.
    """
    target = reference.parse(repository).host

    def login(host: str) -> Login | None:
        if host.endswith(_GOOGLE):
            return Login(_GOOGLE_USER, google_token(given))
        is_meant = host == target or target.endswith(_GOOGLE)
        user, password = given.get(USER), given.get(PASSWORD)
        return Login(user, password) if is_meant and user and password else None

    return login


def google_token(given: Mapping[str, str]) -> str:
    """An access token, for an hour, of the credentials that deploy. Raises RegistryError."""
    try:
        return credentials.access_token(given)
    except credentials.CredentialsError as error:
        raise RegistryError(str(error)) from None
