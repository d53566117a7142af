"""Requests to addresses that users name: webhooks of theirs, HTTP steps of automations.

Whoever may name an address could have the platform ask its own network: the database beside it, the metadata service
of the cloud. So:

* The guard stands where connections are made. A name is resolved here, each of its addresses is judged, and the
  connection goes to the very address that was judged: a name that answers differently a moment later gains nothing, and
  however a host is spelt (``2130706433``, ``0x7f.1``, ``::ffff:127.0.0.1``), what counts is the address it leads to.
* Only ``https``, with certificates checked as usual, and only addresses of the public internet. What else may be
  reached, also by plain ``http``, is a setting: TWINLINE_OUTSIDE_ALLOWED, ``127.0.0.1:9000`` or ``hooks.internal`` or
  ``10.1.0.0/16``, several with commas between.
* Redirects aren't followed but answered. Of a body no more than asked for is read, and a request has one time limit
  from the first lookup to the last byte, so a receiver that drips costs no more than one that hangs.
* Proxies of the environment aren't used: they would resolve names for us.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import anyio
import httpcore
import httpx

TIMEOUT: Final = 15.0  # seconds
MOST: Final = 64 * 1024  # bytes of an answer
LONGEST_URL: Final = 2048
LAST_PORT: Final = 65_535
CONNECTIONS: Final = 200
IDLE_FOR: Final = 30.0  # seconds that a connection is kept for the next request

# Addresses that Python calls global, and behind which a cloud keeps services of its own.
SERVICES: Final = (ip_network("168.63.129.16"), ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"))
_PUBLIC6: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
# Of their own: names whose servers don't answer would hold up whatever else waits for a thread.
_LOOKUPS: Final = ThreadPoolExecutor(16, "outside-lookup")

_HOST: Final = re.compile(r"[a-z0-9_-]+([.][a-z0-9_-]+)*[.]?", re.ASCII | re.IGNORECASE)

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Why(StrEnum):
    URL = "url"
    """It isn't an address that can be asked at all."""
    FORBIDDEN = "forbidden"
    """It leads to where nobody may be sent."""
    UNKNOWN = "unknown"
    """The name isn't known."""
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    """The connection ended, or what came isn't HTTP."""


class OutsideError(Exception):
    """There is no answer; the message is for a person, and holds no address. ``why`` is for programs."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


@dataclass(frozen=True, slots=True)
class Answer:
    """Of whatever status. ``cut`` tells that the body had more than was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


class Allowed:
    """What may be reached besides the public internet. Raises ValueError for an entry that can't be read."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in filter(None, (one.strip() for one in entries)):
            if "/" in entry:
                self._networks.append(ip_network(entry))
            else:
                url = httpx.URL(f"any://[{entry}]" if entry.count(":") > 1 and entry[0] != "[" else f"any://{entry}")
                if not url.host or url.path not in ("", "/"):
                    raise ValueError(f"{entry!r} is neither a host, nor host:port, nor a network like 10.1.0.0/16")
                self._hosts.add((url.host, url.port))

    def names(self, host: str, port: int) -> bool:
        """Whether this host was allowed by its own name."""
        return (host, port) in self._hosts or (host, None) in self._hosts

    def holds(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class Outside:
    """A client. It may be made anywhere; its connections belong to the event loop that first uses it."""

    def __init__(
        self, allowed: Iterable[str] = (), *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allowed = Allowed(allowed)
        self._resolve = resolve or _resolved
        self._tls = tls
        self._pool: httpcore.AsyncConnectionPool | None = None

    def check(self, url: str) -> httpx.URL:
        """The address as it will be asked. Raises OutsideError for what can be seen to be wrong without a lookup."""
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise OutsideError(Why.URL, "This isn't a web address. One looks like https://example.com/hook.") from error
        if len(url) > LONGEST_URL:
            raise OutsideError(Why.URL, f"This address is longer than {LONGEST_URL} characters.")
        if parsed.scheme not in ("https", "http") or not parsed.host:
            raise OutsideError(Why.URL, "The address has to begin with https:// and name a host.")
        if not 0 < _port(parsed) <= LAST_PORT:
            raise OutsideError(Why.URL, f"The port in the address has to be between 1 and {LAST_PORT}.")
        if parsed.userinfo:
            raise OutsideError(Why.URL, "Leave the user and password out of the address.")
        port = _port(parsed)
        literal = _address(parsed.host)
        if literal is None and not _HOST.fullmatch(parsed.raw_host.decode()):
            raise OutsideError(Why.URL, "The address has a host that can't be: one looks like example.com.")
        if self._allowed.names(parsed.host, port) or (literal is not None and self._allowed.holds(literal)):
            return parsed
        if parsed.scheme != "https":
            raise OutsideError(Why.URL, "The address has to begin with https://, so that nobody can listen.")
        if literal is not None and not is_public(literal):
            raise _forbidden()
        return parsed

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        timeout: float = TIMEOUT,
        most: int = MOST,
    ) -> Answer:
        """Asks once. Raises OutsideError when nothing that can be read came back in time."""
        parsed = self.check(url)
        try:
            async with asyncio.timeout(timeout):
                return await self._fetch(method, parsed, dict(headers or {}), content, most)
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise OutsideError(Why.TIMEOUT, f"No whole answer came within {timeout:g} seconds.") from error
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError):
                raise OutsideError(Why.TLS, f"A secure connection failed: {_tls(error)}.") from error
            raise OutsideError(Why.UNREACHABLE, "No connection could be made.") from error
        except (httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise OutsideError(Why.BROKEN, "The connection ended without an answer that could be read.") from error

    async def _fetch(self, method: str, url: httpx.URL, headers: dict[str, str], content: bytes, most: int) -> Answer:
        # Not packed, or a few bytes could unpack to more than there is memory.
        request = httpx.Request(method, url, headers={**headers, "accept-encoding": "identity"}, content=content)
        body = bytearray()
        async with self._opened().stream(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"),
            headers=request.headers.raw,
            content=content,
        ) as response:
            async for part in response.aiter_stream():
                body += part
                if len(body) > most:
                    break
        known = httpx.Headers(response.headers)
        return Answer(response.status, dict(known), bytes(body[:most]), len(body) > most)

    def _opened(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls or httpx.create_ssl_context(trust_env=False),
                max_connections=CONNECTIONS,
                keepalive_expiry=IDLE_FOR,
                network_backend=_Guarded(self._allowed, self._resolve),
            )
        return self._pool

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None


def is_public(address: Address) -> bool:
    """Whether this is an address of the public internet, also where it is wrapped into another kind."""
    if isinstance(address, IPv6Address):
        if inner := address.ipv4_mapped or address.sixtofour:
            return is_public(inner)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        return address.is_global and address in _PUBLIC6
    return address.is_global and not (address.is_multicast or any(address in service for service in SERVICES))


class _Guarded(httpcore.AsyncNetworkBackend):
    """Where connections are made, and so where an address is judged: nothing goes past here."""

    def __init__(self, allowed: Allowed, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        literal = _address(host)
        found = [literal] if literal else [ip_address(one) for one in await self._resolve(host, port)]
        if not found:
            raise OutsideError(Why.UNKNOWN, "There is no such host: the name isn't known.")
        # All of them: of a name that leads to the public and to the private, nobody means well.
        if not self._allowed.names(host, port) and not all(is_public(a) or self._allowed.holds(a) for a in found):
            raise _forbidden()
        for n, address in enumerate(found):
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if n == len(found) - 1:
                    raise
        raise AssertionError

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


async def _resolved(host: str, port: int) -> Sequence[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    except (OSError, UnicodeError):
        return ()
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _address(host: str) -> Address | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _port(url: httpx.URL) -> int:
    return (443 if url.scheme == "https" else 80) if url.port is None else url.port


def _tls(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return getattr(cause, "verify_message", "") or "the other side doesn't speak TLS as it should"


def _forbidden() -> OutsideError:
    return OutsideError(
        Why.FORBIDDEN,
        "This address isn't on the public internet. Whoever runs this platform can allow it: TWINLINE_OUTSIDE_ALLOWED.",
    )
