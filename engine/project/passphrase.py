"""The passphrase secrets provider: AES-256-GCM under a key derived from a passphrase and a salt.

The state string `v1:SALT:CHECK` lies in Pulumi.STACK.yaml (`encryptionsalt`) and in the
checkpoint; CHECK is the encrypted word `pulumi` and tells a wrong passphrase.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import secrets
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SALT_BYTES = 8
_KEY_BYTES = 32
_NONCE_BYTES = 12
_PBKDF2_ITERATIONS = 1_000_000
_CHECK_WORD = "pulumi"


class WrongPassphraseError(EngineError):
    """The passphrase does not open what it should."""


def passphrase_from_environment() -> str:
    """PULUMI_CONFIG_PASSPHRASE (empty counts), its _FILE form, or a prompt on a terminal."""
    phrase = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    if phrase is not None:
        return phrase
    file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if file:
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                f"cannot read PULUMI_CONFIG_PASSPHRASE_FILE {file}: {error.strerror}"
            ) from None
    if sys.stdin.isatty():
        return getpass.getpass("Enter your passphrase to unlock config/secrets: ")
    raise EngineError(
        "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE "
        "environment variables"
    )


class Crypter:
    """Encrypts and decrypts the secrets of one stack.

    The key takes some tenths of a second; a thread derives it while the program starts up.
    """

    def __init__(self, passphrase: str, state: str | None = None) -> None:
        self._passphrase = passphrase.encode()
        self._given_state = state
        self._salt = _salt_of(state) if state else secrets.token_bytes(_SALT_BYTES)
        self._cipher_object: AESGCM | None = None
        self._state = state
        # An unchanged secret keeps its ciphertext, place by place, so that states diff quietly.
        self._ciphertexts: dict[tuple[str, str], str] = {}
        self._key = b""
        self._derivation = threading.Thread(target=self._derive_key, daemon=True)
        self._derivation.start()

    def _derive_key(self) -> None:
        self._key = hashlib.pbkdf2_hmac(
            "sha256", self._passphrase, self._salt, _PBKDF2_ITERATIONS, _KEY_BYTES
        )

    @property
    def _cipher(self) -> AESGCM:
        if self._cipher_object is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._derivation.join()
            self._cipher_object = AESGCM(self._key)
            self.verify()
        return self._cipher_object

    def verify(self) -> None:
        """Whether the passphrase is the one the salt was made with; WrongPassphraseError if not."""
        if not self._given_state:
            return
        check = self._given_state.split(":", 2)[2]
        try:
            correct = self._open(check) == _CHECK_WORD
        except WrongPassphraseError:
            correct = False
        if not correct:
            raise WrongPassphraseError(
                "incorrect passphrase: set PULUMI_CONFIG_PASSPHRASE to the one this stack was "
                "made with"
            )

    @property
    def state(self) -> str:
        """`v1:SALT:CHECK`."""
        if self._state is None:
            salt = base64.b64encode(self._salt).decode()
            self._state = f"v1:{salt}:{self.encrypt(_CHECK_WORD)}"
        return self._state

    def encrypt(self, text: str, place: str = "") -> str:
        """The ciphertext; with a place, the one this text had there before, if any."""
        known = self._ciphertexts.get((place, text)) if place else None
        if known is None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            sealed = self._cipher.encrypt(nonce, text.encode(), None)
            known = ":".join(
                ["v1", base64.b64encode(nonce).decode(), base64.b64encode(sealed).decode()]
            )
            if place:
                self._ciphertexts[place, text] = known
        return known

    def decrypt(self, ciphertext: str, place: str = "") -> str:
        text = self._open(ciphertext)
        if place:
            self._ciphertexts[place, text] = ciphertext
        return text

    def _open(self, ciphertext: str) -> str:
        cipher = self._cipher
        try:
            version, nonce, sealed = ciphertext.split(":")
            if version != "v1":
                raise ValueError(version)
            return cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None).decode()
        except Exception as error:  # InvalidTag, or text that is no ciphertext at all
            raise WrongPassphraseError(
                "cannot decrypt a secret of this stack: it was not made with its passphrase and "
                "encryptionsalt"
            ) from error


def _salt_of(state: str) -> bytes:
    try:
        version, salt, _check = state.split(":", 2)
        if version != "v1":
            raise ValueError(version)
        return base64.b64decode(salt, validate=True)
    except ValueError:
        raise ConfigurationError(
            f"encryptionsalt is not a passphrase salt of version 1: {state!r}"
        ) from None
