// The inbox as a whole: moving between chats, the list, the live stream, the unread count.

import { AGAIN, ask, fragment, passes, toast } from "./app.js";
import { announce, listen } from "./live.js";
import { localise } from "./times.js";
import { Thread } from "./thread.js";

const inbox = document.getElementById("inbox");
const rows = document.getElementById("rows");
const pane = document.getElementById("thread");
const search = document.getElementById("search");
const base = `/inbox/${inbox.dataset.number}`;

let thread = null;
let filter = inbox.dataset.filter;

// ---- moving between chats ------------------------------------------------------------------------------------------

let opening;

async function open(address, { push = true } = {}) {
  opening?.abort();
  opening = new AbortController();
  const contact = new URL(address, location.href).pathname.split("/")[3];
  mark(contact);
  inbox.classList.add("has-chat");
  try {
    const { text, response } = await ask(address, { signal: opening.signal });
    thread?.close();
    pane.replaceChildren(fragment(text));
    if (push) history.pushState({}, "", response.redirected ? response.url : address);
    start();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "danger");
  }
}

function start() {
  const conversation = document.getElementById("conversation");
  thread = conversation ? new Thread(conversation) : null;
  if (thread) mark(thread.contact);
  localise(pane);
  title();
}

function mark(contact) {
  for (const row of rows.querySelectorAll(".chat.current")) {
    row.classList.remove("current");
    row.removeAttribute("aria-current");
  }
  const row = contact && document.getElementById(`c-${contact}`);
  if (!row) return;
  row.classList.add("current");
  row.classList.remove("unread");
  row.setAttribute("aria-current", "true");
  row.querySelector(".unread-count")?.remove();
}

function closeChat({ push = true } = {}) {
  thread?.close();
  thread = null;
  inbox.classList.remove("has-chat");
  mark(null);
  if (push) history.pushState({}, "", base + (filter === "all" ? "" : `?filter=${filter}`));
  pane.replaceChildren();
  title();
}

addEventListener("popstate", () => {
  if (location.pathname === base) closeChat({ push: false });
  else if (location.pathname.startsWith(`${base}/`)) open(location.href, { push: false });
  else location.reload();
});

document.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  const chat = event.target.closest("a.chat");
  const back = event.target.closest("[data-back]");
  const chip = event.target.closest("a.chip[data-filter]");
  if (chat) open(chat.href);
  else if (back) closeChat();
  else if (chip) choose(chip);
  else return;
  event.preventDefault();
});

addEventListener("twinline:goto", (event) => open(event.detail));

// ---- the list ------------------------------------------------------------------------------------------------------

async function list(address) {
  const { text, response } = await ask(address);
  return { content: fragment(text), response };
}

const query = (extra = {}) =>
  new URLSearchParams({ filter, current: thread?.contact ?? 0, ...(search.value.trim() && { q: search.value.trim() }), ...extra });

let drawn = 0;

/** The first page of the list, as filter and search say. */
async function redraw() {
  const mine = ++drawn;
  try {
    const got = await list(`${base}/rows?${query()}`);
    if (mine !== drawn) return;
    rows.replaceChildren(got.content);
    rows.scrollTop = 0;
    count(got.response);
    settle();
  } catch (error) {
    toast(error.message, "danger");
  }
}

function settle() {
  localise(rows);
  const more = rows.querySelector(".more");
  if (more) sight.observe(more);
}

const sight = new IntersectionObserver(
  async (entries) => {
    const more = entries.find((entry) => entry.isIntersecting)?.target;
    if (!more) return;
    sight.unobserve(more);
    more.dataset.busy = "yes";
    try {
      const got = await list(`${more.dataset.more}&current=${thread?.contact ?? 0}`);
      if (!more.isConnected) return;
      // A chat that moved up meanwhile stands in the list already.
      for (const row of got.content.querySelectorAll(".chat[id]")) if (document.getElementById(row.id)) row.remove();
      more.replaceWith(got.content);
      settle();
    } catch (error) {
      toast(error.message, "danger");
      delete more.dataset.busy;
      if (passes(error)) setTimeout(() => sight.observe(more), AGAIN);
    }
  },
  { root: rows, rootMargin: "600px" },
);

let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(redraw, 160);
});
search.form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  redraw();
});

function choose(chip) {
  filter = chip.dataset.filter;
  search.value = "";
  for (const other of inbox.querySelectorAll("a.chip[data-filter]")) other.removeAttribute("aria-current");
  chip.setAttribute("aria-current", "true");
  history.replaceState({}, "", location.pathname + (filter === "all" ? "" : `?filter=${filter}`));
  redraw();
}

// Lines of changed chats, fetched together: at once for the first, then at most every 300 ms, and the more of them move
// the less often, for what never stands still can't be read, nor clicked.
const changed = new Set();
const pause = (moved) => Math.min(300 + 30 * moved, 2000);
let soonest = 0;
let due = null;
let busy = false;

function refresh(ids) {
  for (const id of ids) changed.add(String(id));
  if (changed.size && due === null && !busy) due = setTimeout(flush, Math.max(0, soonest - performance.now()));
}

async function flush() {
  due = null;
  busy = true;
  const ids = [...changed];
  soonest = performance.now() + pause(ids.length);
  changed.clear();
  try {
    if (search.value.trim()) {
      // A search stays as it was found; only lines that are shown are drawn anew.
      const shown = ids.filter((id) => document.getElementById(`c-${id}`));
      if (shown.length) place(await list(`${base}/rows?${new URLSearchParams({ ids: shown.slice(0, 60) })}`), []);
    } else if (ids.length > 40) {
      // So many moved that the head of the list is mostly new.
      place(await list(`${base}/rows?${query()}`), []);
    } else {
      place(await list(`${base}/rows?${query({ ids })}`), ids);
    }
  } catch (error) {
    toast(error.message, "danger");
    if (passes(error)) {
      for (const id of ids) changed.add(id);
      soonest = performance.now() + AGAIN;
    }
  }
  busy = false;
  refresh([]);
}

function place(got, asked) {
  const fresh = [...got.content.querySelectorAll(".chat[id]")];
  const names = new Set(fresh.map((row) => row.id));
  const focused = document.activeElement?.closest?.(".chat")?.id;
  count(got.response);
  localise(got.content);
  keeping(() => {
    // Asked for and not answered: it passes the filter no longer. The open one stays until another is opened.
    for (const id of asked) {
      const row = document.getElementById(`c-${id}`);
      if (row && !names.has(row.id) && id !== thread?.contact) row.remove();
    }
    if (fresh.length) rows.querySelector(".none")?.remove();
    const moving = [];
    for (const row of fresh) {
      const old = document.getElementById(row.id);
      if (old?.dataset.at === row.dataset.at) old.replaceWith(row);
      else {
        old?.remove();
        if (!search.value.trim()) moving.push(row);
      }
    }
    merge(moving);
    trim();
  });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** The list's order, as the server has it: newest first, then by contact. */
const order = ({ dataset: one }, { dataset: other }) => other.at - one.at || other.contact - one.contact;

/** Puts lines where their time wants them: one walk down the list, newest first on both sides. */
function merge(moving) {
  moving.sort(order);
  const more = rows.querySelector(":scope > .more");
  let next = rows.querySelector(":scope > .chat[id]");
  for (const row of moving) {
    while (next && order(next, row) < 0) {
      do next = next.nextElementSibling;
      while (next && !next.matches(".chat[id]"));
    }
    // Below what is loaded: it comes when the list is scrolled there.
    if (next || !more) rows.insertBefore(row, next ?? null);
  }
}

const LONG = 120;

/** A busy number pushes chats down without end; what went far out of sight is fetched again when it is wanted. */
function trim() {
  const all = rows.querySelectorAll(":scope > .chat[id]");
  if (all.length <= LONG || rows.scrollTop > 800) return;
  const last = all[LONG / 2 - 1];
  while (last.nextElementSibling) last.nextElementSibling.remove();
  const more = document.createElement("div");
  more.className = "more";
  const { at, contact } = last.dataset;
  more.dataset.more = `${base}/rows?${new URLSearchParams({ before: `${at}.${contact}`, filter })}`;
  more.append(...[0, 1].map(() => Object.assign(document.createElement("span"), { className: "skeleton" })));
  rows.append(more);
  sight.observe(more);
}

/** Changes the list and leaves the line at its top where it is, unless that is the very top. */
function keeping(change) {
  if (rows.scrollTop < 8) return void change();
  const top = rows.getBoundingClientRect().top;
  const anchor = [...rows.children].find((row) => row.getBoundingClientRect().bottom > top);
  const before = anchor?.getBoundingClientRect().top;
  change();
  const still = anchor && (anchor.isConnected ? anchor : anchor.id && document.getElementById(anchor.id));
  if (still) rows.scrollTop += still.getBoundingClientRect().top - before;
}

// ---- how much is to be seen to --------------------------------------------------------------------------------------

let unread = 0;

function count(response) {
  for (const kind of ["unread", "waiting"]) {
    const said = response.headers.get(`X-${kind}`);
    if (said !== null) show(kind, Number(said));
  }
}

/** How many chats there are of a kind: on its chip, and of unread ones on the rail and the window. */
function show(kind, chats) {
  const badges = [...document.querySelectorAll(`[data-count="${kind}"]`)];
  if (kind === "unread") {
    unread = chats;
    badges.push(document.getElementById("rail-unread"));
    title();
  }
  for (const badge of badges) {
    if (!badge) continue;
    badge.textContent = chats < 100 ? String(chats) : "99+";
    badge.hidden = chats === 0;
  }
}

function title() {
  const name = thread?.name ?? inbox.querySelector(".switcher h1").textContent;
  document.title = `${unread ? `(${unread < 100 ? unread : "99+"}) ` : ""}${name} · Twinline`;
}

// ---- live ----------------------------------------------------------------------------------------------------------

function happened(event) {
  announce(event);
  const ids = new Set(event.chats ?? []);
  for (const [contact] of event.messages ?? []) ids.add(contact);
  for (const [contact] of event.outbox ?? []) ids.add(contact);
  for (const [winner, loser] of event.merged ?? []) {
    document.getElementById(`c-${loser}`)?.remove();
    ids.add(winner);
    if (thread?.contact === String(loser)) open(`${base}/${winner}`);
  }
  thread?.happened(event);
  refresh(ids);
}

let offline;

listen(inbox.dataset.cursor, {
  event: happened,
  reload: catchUp,
  state(connected) {
    if (connected) offline?.remove();
    else if (!offline?.isConnected) {
      offline = Object.assign(document.createElement("div"), { id: "offline", textContent: "Reconnecting…" });
      offline.setAttribute("role", "status");
      // A blip isn't worth a word.
      setTimeout(() => offline.textContent && document.body.append(offline), 2500);
      const waiting = offline;
      const forget = () => (waiting.textContent = "");
      addEventListener("twinline:connected", forget, { once: true });
    }
    if (connected) dispatchEvent(new Event("twinline:connected"));
  },
});

/** Too far behind: the page is loaded again, but never over an answer that is being written. */
function catchUp() {
  if (thread?.composer?.dirty) thread.composer.remember();
  location.reload();
}

// ---- keys ----------------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const typed = event.target.matches("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typed) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && event.target === search && search.value) {
    search.value = "";
    redraw();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (!typed || event.target === search)) {
    if (event.target.closest("#conversation")) return;
    const all = [...rows.querySelectorAll("a.chat")];
    const from = all.indexOf(document.activeElement.closest("a.chat") ?? rows.querySelector(".chat.current"));
    const to = all[Math.min(all.length - 1, Math.max(0, from + (event.key === "ArrowDown" ? 1 : -1)))];
    if (!to) return;
    event.preventDefault();
    to.focus();
    to.scrollIntoView({ block: "nearest" });
  }
});

start();
settle();
show("unread", Number(inbox.dataset.unread));
