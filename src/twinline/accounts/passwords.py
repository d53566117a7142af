"""Passwords: Argon2id with the library's present parameters, off the event loop: it is slow on purpose."""

import asyncio
import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()


@functools.cache
def _nobody() -> str:
    """What an unknown address is checked against, so that the time of an answer doesn't tell who has an account."""
    return _hasher.hash("nobody")


async def digest(password: str) -> str:
    return await asyncio.to_thread(_hasher.hash, password)


async def matches(password_hash: str | None, password: str) -> bool:
    def check() -> bool:
        nobody = _nobody()  # also where it isn't needed: the first check of a process takes longer, whoever asks
        try:
            return _hasher.verify(password_hash or nobody, password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False

    return await asyncio.to_thread(check)


def is_dated(password_hash: str) -> bool:
    """Whether it was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)
