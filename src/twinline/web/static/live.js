// One stream of events for a page. `listen(cursor, handlers)` follows the numbers that the cursor names, from where it
// stands; without a cursor (""), all numbers of the organisation from now on.
//
// Pages that only want to draw something anew need no script: `data-live=""` on the body (or a cursor in it) makes
// app.js connect, and every event is given out as `live:<kind>` on the body, so
// hx-trigger="live:sync from:body throttle:1s" is enough. Kinds are those of an event's body (sync, number, chats, …).

export function listen(cursor, { event, reload = () => location.reload(), state = () => {} }) {
  let known = cursor;
  let source;
  let timer;

  function connect() {
    source = new EventSource(`/live?since=${encodeURIComponent(known)}`);
    source.onopen = () => state(true);
    source.onmessage = (message) => {
      known = message.lastEventId || known;
      event(JSON.parse(message.data));
    };
    source.addEventListener("reload", () => {
      source.close();
      reload();
    });
    source.onerror = () => {
      state(false);
      // The browser reconnects by itself unless it was refused outright: a session that ended, a server that restarts.
      if (source.readyState === EventSource.CLOSED) {
        clearTimeout(timer);
        timer = setTimeout(again, 2000 + Math.random() * 2000);
      }
    };
  }

  async function again() {
    const answer = await fetch("/account", { method: "HEAD", headers: { "HX-Request": "true" } }).catch(() => null);
    if (answer?.status === 401) location.reload();
    else connect();
  }

  connect();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (shown) => shown.persisted && connect());
}

const NOTHING = new Set(["number_id", "seq"]);

/** Gives an event out on the body, by kind. */
export function announce(event) {
  for (const kind of Object.keys(event)) {
    if (!NOTHING.has(kind)) document.body.dispatchEvent(new CustomEvent(`live:${kind}`, { detail: event }));
  }
}
