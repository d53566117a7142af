// The control API, the simulator's clock and the stream of changes, as every page uses them.

export async function get(path) {
  return answer(await fetch(path, { headers: { accept: "application/json" } }));
}

export async function post(path, body = {}, method = "POST") {
  return answer(await fetch(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));
}

/** Stores a file to be sent; answers its media id. */
export async function upload(file) {
  const path = `/control/media?filename=${encodeURIComponent(file.name)}`;
  const headers = { "content-type": file.type || "application/octet-stream" };
  return (await answer(await fetch(path, { method: "POST", headers, body: file }))).id;
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `The simulator answered ${response.status}.`);
  return body;
}

// ---- changes ----------------------------------------------------------------------------------------------------

const handlers = new Set();
const tell = (event) => handlers.forEach((handler) => handler(event));

/** Calls the handler with each change: {kind, …ids}. `reload` says that some may have been missed. */
export function listen(handler) {
  handlers.add(handler);
  return () => handlers.delete(handler);
}

/* A browser holds six connections to one host, and a phone, its customers and the popup are often open together.
   So one window keeps the stream and passes it on; when it closes, the next one takes over. */
const channel = new BroadcastChannel("whatsapp-simulator");
channel.onmessage = ({ data }) => tell(data);
if (navigator.locks) navigator.locks.request("whatsapp-simulator-events", () => new Promise(follow));
else follow();

function follow() {
  const pass = (event) => {
    tell(event);
    channel.postMessage(event);
  };
  const source = new EventSource("/control/events");
  source.onopen = () => pass({ kind: "reload" });
  source.onmessage = ({ data }) => pass(JSON.parse(data));
}

/** A function that runs `work` soon: at once when idle, never twice at a time, with a pause that grows with its cost. */
export function soon(work) {
  let running = false;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    const began = performance.now();
    try {
      await work();
    } catch (error) {
      console.error(error);
    }
    const pause = Math.max(60, 2 * (performance.now() - began));
    setTimeout(() => {
      running = false;
      if (again) {
        again = false;
        run();
      }
    }, pause);
  };
}

// ---- the clock --------------------------------------------------------------------------------------------------

let offset = 0;
export const clock = {
  /** Unix seconds on the simulator's clock. */
  now: () => Date.now() / 1000 + offset,
  get offset() {
    return offset;
  },
  async read() {
    offset = (await get("/control/clock")).offset;
  },
};
listen(({ kind }) => {
  if (["clock", "reload", "reset"].includes(kind)) clock.read().catch(() => {});
});
