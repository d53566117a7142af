"""Secrets at rest: Fernet with rotating keys.

The first key encrypts, all keys decrypt, so a new key is put in front and old rows stay readable.
"""

import contextlib
import os
import tempfile
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
        if not path.exists():
            # Written beside and linked into place: of two processes that start at once, both find one whole key.
            with tempfile.NamedTemporaryFile("w", dir=folder, prefix="vault.") as file:  # made with mode 0600
                file.write(Fernet.generate_key().decode() + "\n")
                file.flush()
                os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        return cls(path.read_text(errors="replace").split())

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
