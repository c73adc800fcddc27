"""The passphrase secrets provider: AES-256-GCM under a key derived from a passphrase and a salt.

The state string `v1:SALT:CHECK` is in Pulumi.STACK.yaml (`encryptionsalt`) and in the checkpoint;
CHECK is the encrypted word `pulumi`, which reveals a wrong passphrase.
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
    """The passphrase does not decrypt the stack's secrets."""


def passphrase_from_environment() -> str:
    """PULUMI_CONFIG_PASSPHRASE (may be empty), or ..._FILE, or a prompt on a terminal."""
    phrase = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    if phrase is not None:
        return phrase
    file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if file:
        try:
            return os.fsdecode(Path(file).read_bytes()).strip()
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

    Deriving the key takes tenths of a second; a thread does it while the program starts.
    """

    def __init__(self, passphrase: str, state: str | None = None) -> None:
        self._passphrase = os.fsencode(passphrase)
        self._given_state = state
        self._salt = _salt_of(state) if state else secrets.token_bytes(_SALT_BYTES)
        self._cipher_object: AESGCM | None = None
        self._state = state
        # An unchanged secret keeps its ciphertext at each location, so that states can be compared.
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
        """Raise WrongPassphraseError unless the salt was made with this passphrase."""
        if not self._given_state:
            return
        check = self._given_state.split(":", 2)[2]
        try:
            correct = self._decrypt(check) == _CHECK_WORD
        except WrongPassphraseError:
            correct = False
        if not correct:
            raise WrongPassphraseError(
                "incorrect passphrase: set PULUMI_CONFIG_PASSPHRASE to the one this stack was "
                "created with"
            )

    @property
    def state(self) -> str:
        """`v1:SALT:CHECK`."""
        if self._state is None:
            salt = base64.b64encode(self._salt).decode()
            self._state = f"v1:{salt}:{self.encrypt(_CHECK_WORD)}"
        return self._state

    def encrypt(self, text: str, location: str = "") -> str:
        """The ciphertext; the previous one if the text at this location is unchanged."""
        known = self._ciphertexts.get((location, text)) if location else None
        if known is None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            encrypted = self._cipher.encrypt(nonce, text.encode(), None)
            known = ":".join(
                ["v1", base64.b64encode(nonce).decode(), base64.b64encode(encrypted).decode()]
            )
            if location:
                self._ciphertexts[location, text] = known
        return known

    def decrypt(self, ciphertext: str, location: str = "") -> str:
        text = self._decrypt(ciphertext)
        if location:
            self._ciphertexts[location, text] = ciphertext
        return text

    def _decrypt(self, ciphertext: str) -> str:
        cipher = self._cipher
        try:
            version, nonce, encrypted = ciphertext.split(":")
            if version != "v1":
                raise ValueError(version)
            data = cipher.decrypt(base64.b64decode(nonce), base64.b64decode(encrypted), None)
            return data.decode()
        except Exception as error:  # InvalidTag, or text that is not a ciphertext
            raise WrongPassphraseError(
                "cannot decrypt a secret of this stack: it was encrypted with another passphrase "
                "or encryptionsalt"
            ) from error


def _salt_of(state: str) -> bytes:
    try:
        version, salt, _check = state.split(":", 2)
        if version != "v1":
            raise ValueError(version)
        return base64.b64decode(salt, validate=True)
    except ValueError:
        raise ConfigurationError(
            f"encryptionsalt is not a version 1 passphrase salt: {state!r}"
        ) from None
