"""P4: how soon a webhook's message is with the people who look.

While 1,000 webhooks a second arrive for other chats (20 a second for each of 50 numbers), one customer's messages are
timed from the moment their webhook is due: until the event comes over a logged-in session's ``/live`` (which follows
all 50 numbers), and until the text stands in that chat's page, open in Chromium. Reference: the time until the same
webhooks were answered, which is the commit that both must wait for.
"""

import asyncio
import shutil
import time

from playwright.async_api import Page, async_playwright

from bench import common, stage
from bench.common import Figure, median, quantile

SAMPLES = 80
EVERY = 0.2  # seconds between samples; not a divisor of anything else here
PERSON = 99_999

# Notes when each probe is in the page, and when the frame that shows it begins.
OBSERVE = """
window.seen = {}; window.drawn = {};
const now = () => performance.timeOrigin + performance.now();
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) {
    for (const [, n] of (node.textContent || "").matchAll(/probe-(\\d+)-/g)) {
      if (n in window.seen) continue;
      window.seen[n] = now();
      requestAnimationFrame(() => { window.drawn[n] = now(); });
    }
  }
}).observe(document.getElementById("messages"), { childList: true, subtree: true });
"""


def run(quick: bool = False) -> list[Figure]:
    with stage.platform() as on, common.web(on) as port:
        cookie = stage.login(on)
        return stage.run(_measure(on, port, cookie, 20 if quick else SAMPLES))


async def _measure(on: common.Platform, port: int, cookie: str, samples: int) -> list[Figure]:
    traffic = stage.Traffic(on.numbers)
    await common.flood(port, [*traffic.everybody(), _probe(on, 0)])
    [(contact_id,)] = on.sql("SELECT contact_id FROM identities WHERE number_id = 1 AND key LIKE %s", f"p:%{PERSON}")
    ended = asyncio.Event()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = await browser.new_page()
        name, _, value = cookie.partition("=")
        await page.context.add_cookies([{"name": name, "value": value, "url": f"http://127.0.0.1:{port}"}])
        await page.goto(f"http://127.0.0.1:{port}/inbox/1/{contact_id}")
        # Not through evaluate of the string alone: the page's policy allows no eval, the debugger's protocol does.
        await page.evaluate(f"() => {{ {OBSERVE} }}")
        received: dict[str, float] = {}
        listening = asyncio.create_task(_listen(port, cookie, received))
        load = asyncio.create_task(common.steady(port, traffic.until(ended.is_set), stage.RATE))
        await asyncio.sleep(2)
        meter = stage.Meter(on.folder)
        began = time.perf_counter()
        sent, answered = await _send_probes(on, port, samples)
        cores = [used / (time.perf_counter() - began) for used in meter.read()]
        await asyncio.sleep(1)
        ended.set()
        beside = await load
        listening.cancel()
        seen, drawn = await _read(page)
        await browser.close()
    sse = [(received[wamid] - sent[n]) * 1000 for n, (wamid, _) in enumerate(answered, 1) if wamid in received]
    answer = [took for _, took in answered]
    shown = [seen[n] - sent[n] * 1000 for n in sent if n in seen]
    frame = [drawn[n] - sent[n] * 1000 for n in sent if n in drawn]
    told = {
        "samples": samples, "answer_p50": median(answer), "answer_p95": quantile(answer, 0.95),
        "load_p50": median(beside), "load_p99": quantile(beside, 0.99),
        "cores_python": cores[0], "cores_postgres": cores[1],
    }  # fmt: skip
    figures = []
    for what, times, wanted in (("event over SSE", sse, 50), ("text in an open page", shown, 150)):
        assert len(times) == samples, f"{what}: {len(times)} of {samples} came"
        value, reference = quantile(times, 0.95), quantile(answer, 0.95)
        figures.append(
            Figure("P4", f"webhook until {what}, p95", value, "ms", reference, "its answer", value / reference,
                   f"<= {wanted} ms", value <= wanted,
                   {**told, "p50": median(times), "max": max(times)})
        )  # fmt: skip
    figures[1].detail |= {"frame_p50": median(frame), "frame_p95": quantile(frame, 0.95)}
    return figures


def _probe(on: common.Platform, n: int) -> bytes:
    # Each a second later than the one before, so that it belongs at the end of the thread.
    value = common.message(on.numbers[0], PERSON, at=common.NOW + n, text=f"probe-{n}- can you see me?")
    return common.request(common.envelope(value))


def _wamid(raw: bytes) -> str:
    return raw.split(b'"id":"wamid.', 1)[1].split(b'"', 1)[0].decode()


async def _send_probes(
    on: common.Platform, port: int, samples: int
) -> tuple[dict[int, float], list[tuple[str, float]]]:
    """(when each was due, on the wall clock; its wamid and the ms until its answer)"""
    sent: dict[int, float] = {}
    answered: list[tuple[str, float]] = []
    async with common.clients(port, 1) as [client]:
        for n in range(1, samples + 1):
            raw = _probe(on, n)
            begun = time.perf_counter()
            sent[n] = time.time()
            assert await client.send(raw) == 200
            took = time.perf_counter() - begun
            answered.append((_wamid(raw), took * 1000))
            await asyncio.sleep(max(0.0, EVERY * (0.8 + 0.4 * (n * 0.618 % 1)) - took))
    return sent, answered


async def _listen(port: int, cookie: str, received: dict[str, float]) -> None:
    """Notes when each of the probes' ids comes over the stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(f"GET /live HTTP/1.1\r\nHost: bench\r\nCookie: {cookie}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n", 1)[0], head
    try:
        while line := await reader.readline():
            if line.startswith(b"data: ") and b'"number_id":1,' in line:
                now = time.time()
                for part in line.split(b"wamid.")[1:]:
                    received.setdefault(part.split(b'"', 1)[0].decode(), now)
            elif line.startswith(b"event: reload"):
                raise RuntimeError("the stream fell too far behind and gave up")
    finally:
        writer.close()


async def _read(page: Page) -> tuple[dict[int, float], dict[int, float]]:
    seen, drawn = await page.evaluate("() => [window.seen, window.drawn]")
    return {int(n): at for n, at in seen.items()}, {int(n): at for n, at in drawn.items()}


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
