"""Secrets at rest: Fernet with rotating keys.

The first key encrypts, all keys decrypt, so a new key is put in front and old rows stay readable.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class VaultError(Exception):
    """A secret can't be read with the keys at hand."""


class Vault:
    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys if key.strip()])
        except ValueError as error:
            raise VaultError(
                "A vault key isn't a Fernet key (32 bytes, url-safe base64). "
                "Check TWINLINE_VAULT_KEYS or the vault.key file."
            ) from error

    @classmethod
    def open(cls, folder: Path, keys: str | None) -> "Vault":
        """From the given comma-separated keys, or from ``vault.key`` in the folder, made at the first start."""
        if keys:
            return cls(keys.split(","))
        path = folder / "vault.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(Fernet.generate_key().decode() + "\n")
        return cls(path.read_text().split())

    def seal(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def unseal(self, sealed: bytes) -> str:
        """Raises VaultError when no key fits."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise VaultError(
                "A stored token can't be decrypted with the present vault keys. Restore the key it was sealed "
                "with (vault.key, or TWINLINE_VAULT_KEYS), or connect the number again."
            ) from error
