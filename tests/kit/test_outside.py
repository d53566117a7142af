"""What may be asked of the world, and what not: the guard before every address that a user names."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from twinline.kit.outside import Outside, OutsideError, Why, is_public

pytestmark = pytest.mark.anyio
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def names(**known: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return known.get(host.replace(".", "_"), ())

    return resolve


@asynccontextmanager
async def serving(answer: bytes | Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback that says ``answer`` to whatever it is asked; its port."""
    open_ones: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            if callable(answer):
                await answer(reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def client(*allowed: str, **options: object) -> AsyncIterator[Outside]:
    outside = Outside(allowed, **options)  # type: ignore[arg-type]
    yield outside
    await outside.aclose()


async def refusal(outside: Outside, url: str, **options: float) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await outside.fetch("POST", url, content=b"{}", **options)  # type: ignore[arg-type]
    return caught.value


OWN = """
127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 0.0.0.0 255.255.255.255 224.0.0.1
240.0.0.1 198.18.0.1 192.0.0.192 168.63.129.16 203.0.113.5 ::1 :: fe80::1 fc00::1 fd00:ec2::254 fec0::1 ff02::1
::127.0.0.1 2001:db8::1 100::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::
2002:a9fe:a9fe::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
"""


@pytest.mark.parametrize("address", OWN.split())
def test_nothing_of_ones_own_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_the_internet_is(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_in_another_wrapping_is_judged_alike(address: object) -> None:
    n = int(address)  # type: ignore[call-overload]
    for wrapped in (
        f"::ffff:{address}",
        str(ip_address((0x64FF9B << 96) + n)),
        str(ip_address((0x2002 << 112) + (n << 80))),
    ):
        assert is_public(ip_address(wrapped)) == is_public(ip_address(str(address)))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example/x", Why.URL),
        ("ftp://hooks.example/x", Why.URL),
        ("file:///etc/passwd", Why.URL),
        ("hooks.example/x", Why.URL),
        ("https://", Why.URL),
        ("https://a:b@hooks.example/", Why.URL),
        ("https://hooks.example/" + "x" * 3000, Why.URL),
        ("https://\x00/", Why.URL),
        ("https://hooks.example:99999999/", Why.URL),
        ("https://hooks.example:0/", Why.URL),
        ("https://exa mple.com/", Why.URL),
        ("https://exa%20mple.com/", Why.URL),
        ("https://hooks..example/", Why.URL),
        ("https://127.0.0.1/x", Why.FORBIDDEN),
        ("https://[::1]/x", Why.FORBIDDEN),
        ("https://[::ffff:10.0.0.1]:8443/x", Why.FORBIDDEN),
        ("https://169.254.169.254/latest/meta-data", Why.FORBIDDEN),
    ],
)
def test_what_is_plainly_wrong_is_told_at_once(url: str, why: Why) -> None:
    with pytest.raises(OutsideError) as caught:
        Outside().check(url)
    assert caught.value.why is why


def test_a_port_that_there_isnt_is_told_as_such_and_names_of_any_script_are_taken() -> None:
    with pytest.raises(OutsideError, match="port in the address has to be between 1 and 65535"):
        Outside().check("https://hooks.example:99999/")
    for host in ("münchen.de", "a_b.example", "hooks.example.", "HOOKS.example", "xn--mnchen-3ya.de"):
        assert Outside().check(f"https://{host}:65535/ü?x=a b").port == 65535


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0", "localhost"])
async def test_however_a_host_is_spelt_what_counts_is_where_it_leads(host: str) -> None:
    async with client() as outside:
        assert (await refusal(outside, f"https://{host}/")).why is Why.FORBIDDEN


async def test_a_name_that_leads_inside_is_refused_even_if_it_also_leads_outside() -> None:
    inside = names(
        hooks_example=["10.0.0.5"], both_example=["93.184.216.34", "::1"], mapped_example=["::ffff:127.0.0.1"]
    )
    async with client(resolve=inside) as outside:
        for host in ("hooks.example", "both.example", "mapped.example"):
            assert (await refusal(outside, f"https://{host}/")).why is Why.FORBIDDEN
        assert (await refusal(outside, "https://nobody.example/")).why is Why.UNKNOWN


async def test_what_the_setting_names_is_reached_and_nothing_beside_it() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as port:
        async with client(f"127.0.0.1:{port}") as outside:
            answer = await outside.fetch("POST", f"http://127.0.0.1:{port}/x", content=b"{}")
            assert (answer.status, answer.body, answer.cut) == (200, b"ok", False)
            assert (await refusal(outside, f"http://127.0.0.1:{port + 1}/x")).why is Why.URL
            assert (await refusal(outside, f"http://localhost:{port}/x")).why is Why.URL
        async with client("localhost", "127.0.0.0/8") as outside:
            assert (await outside.fetch("GET", f"http://localhost:{port}/")).status == 200
        async with client("127.0.0.0/8") as outside:
            assert (await outside.fetch("GET", f"http://127.0.0.1:{port}/")).status == 200


def test_a_setting_that_cannot_be_read_is_told() -> None:
    for entry in ("10.0.0.0/99", "host/path", ":80"):
        with pytest.raises(ValueError, match=r"."):
            Outside([entry])


async def test_a_redirect_is_an_answer_and_not_a_way_inside() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    async with serving(moved) as port, client(f"127.0.0.1:{port}") as outside:
        answer = await outside.fetch("GET", f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.headers["location"]) == (302, "http://169.254.169.254/")


async def test_no_more_is_read_than_was_asked_for() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with serving(endless) as port, client(f"127.0.0.1:{port}") as outside:
        answer = await outside.fetch("GET", f"http://127.0.0.1:{port}/", most=100_000)
    assert len(answer.body) == 100_000
    assert answer.cut


async def test_whoever_drips_is_as_slow_as_whoever_hangs() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(drip) as port, client(f"127.0.0.1:{port}") as outside:
        assert (await refusal(outside, f"http://127.0.0.1:{port}/", timeout=0.1)).why is Why.TIMEOUT


async def test_what_goes_wrong_is_told_without_the_address() -> None:
    async with serving(b"SSH-2.0-x\r\n") as port, client("127.0.0.1") as outside:
        broken = await refusal(outside, f"http://127.0.0.1:{port}/secret")
    async with client("127.0.0.1") as outside:
        gone = await refusal(outside, f"http://127.0.0.1:{port}/secret")
    assert (broken.why, gone.why) == (Why.BROKEN, Why.UNREACHABLE)
    assert "secret" not in f"{broken} {gone}"


async def test_the_certificate_has_to_be_that_of_the_name_asked_for(tmp_path: Path) -> None:
    server, trusted = certified("hooks.example", tmp_path)
    resolve = names(hooks_example=["127.0.0.1"], other_example=["127.0.0.1"])
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", server) as port:
        async with client("127.0.0.0/8", resolve=resolve, tls=trusted) as outside:
            assert (await outside.fetch("POST", f"https://hooks.example:{port}/")).status == 200
            assert (await refusal(outside, f"https://other.example:{port}/")).why is Why.TLS
        async with client("127.0.0.0/8", resolve=resolve) as outside:
            assert (await refusal(outside, f"https://hooks.example:{port}/")).why is Why.TLS


async def test_a_name_that_changes_its_mind_gains_nothing(tmp_path: Path) -> None:
    """Each connection goes to the address that was judged for it."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    server, trusted = certified("turns.example", tmp_path)
    said = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with serving(said, server) as port, client("127.0.0.0/8", resolve=resolve, tls=trusted) as outside:
        assert (await outside.fetch("POST", f"https://turns.example:{port}/")).status == 200
        assert (await refusal(outside, f"https://turns.example:{port}/")).why is Why.FORBIDDEN
    assert answers == []


def certified(host: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate of its own making, and a client's side that trusts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())
