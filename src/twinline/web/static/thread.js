// One open chat: its bubbles, in order whatever comes when; where the reader is; what hangs on a bubble.

import { AGAIN, ask, filledIn, fragment, passes, toast } from "./app.js";
import { Composer } from "./composer.js";
import { voices } from "./media.js";
import "./js/countdown.js";
import { dayKey, dayText, localise } from "./times.js";

const TOGETHER = 10 * 60 * 1_000_000; // microseconds between messages that still look like one utterance
const FACES = ["👍", "❤️", "😂", "😮", "😢", "🙏"];
const wide = matchMedia("(min-width: 1181px)");

export class Thread {
  constructor(root) {
    this.root = root;
    this.contact = root.dataset.contact;
    this.name = root.dataset.name;
    this.address = root.dataset.address;
    this.scroller = root.querySelector("#scroller");
    this.messages = root.querySelector("#messages");
    this.pill = root.querySelector("#to-newest");
    this.off = new AbortController();
    this.news = 0;
    this.wanted = { wamid: new Set(), outbox: new Set() };
    this.fetching = false;

    const form = root.querySelector("#composer");
    this.composer = form ? new Composer(form, this) : null;

    this.dress();
    const { signal } = this.off;
    root.addEventListener("click", (event) => this.clicked(event), { signal });
    root.addEventListener("submit", (event) => this.submitted(event), { signal });
    root.addEventListener("countdown:over", () => this.state(), { signal });
    this.scroller.addEventListener("scroll", () => this.scrolled(), { signal, passive: true });
    this.pill.addEventListener("click", () => this.toNewest(), { signal });
    addEventListener("focus", () => this.seen(), { signal });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.escape(event), { signal });
    this.sight = new IntersectionObserver((entries) => this.sighted(entries), { root: this.scroller, rootMargin: "900px 0px" });
    this.watch();

    const hidden = localStorage.getItem("panel") === "closed" || !wide.matches;
    root.classList.toggle("no-panel", hidden);
    if (!hidden) this.panel();
    if (root.dataset.around) requestAnimationFrame(() => this.show(root.dataset.around));
    else if (wide.matches) this.composer?.focus();
  }

  close() {
    this.composer?.remember();
    this.off.abort();
    this.sight.disconnect();
  }

  // ---- order and looks ---------------------------------------------------------------------------------------------

  bubbles() {
    return [...this.messages.querySelectorAll(":scope > [data-at]")];
  }

  /** Days between, and the first of each run by one author. Cheap enough to do anew after each change. */
  dress() {
    const days = new Map([...this.messages.querySelectorAll(":scope > .day")].map((day) => [day.dataset.day, day]));
    let before = null;
    let latest = 0;
    for (const bubble of this.bubbles()) {
      const at = Number(bubble.dataset.at);
      const moment = new Date(at / 1000);
      // What hasn't left stands at the end, also where it is of another day than what came after it.
      const left = at < latest && dayKey(moment) !== dayKey(new Date(latest / 1000));
      const key = `${left ? "left " : ""}${dayKey(moment)}`;
      const newDay = before?.key !== key;
      if (newDay) {
        let day = days.get(key);
        days.delete(key);
        if (!day) {
          day = document.createElement("div");
          day.className = "day";
          day.dataset.day = key;
          day.textContent = `${left ? "Not settled · " : ""}${dayText(moment)}`;
        }
        if (bubble.previousElementSibling !== day) bubble.before(day);
      }
      const author = bubble.dataset.author ?? "";
      bubble.classList.toggle("first", newDay || before.author !== author || at - before.at > TOGETHER);
      before = { key, author, at };
      latest = Math.max(latest, at);
    }
    for (const day of days.values()) day.remove();
    localise(this.messages);
    voices(this.messages);
  }

  /** Puts each of these where it belongs: over its former self, or by time. Answers how many are new at the end. */
  merge(content) {
    let added = 0;
    for (const bubble of [...content.children].filter((child) => child.dataset.at)) {
      const old = document.getElementById(bubble.id);
      if (old) {
        if (old.dataset.at === bubble.dataset.at) {
          const open = old.querySelector(".earlier:not([hidden])");
          if (open && bubble.querySelector(".earlier")) bubble.querySelector(".earlier").hidden = false;
          // A video or voice message that plays isn't torn out of the ear.
          if (!old.querySelector(".playing") && ![...old.querySelectorAll("video")].some((video) => !video.paused)) old.replaceWith(bubble);
          continue;
        }
        old.remove();
      }
      const unsent = bubble.classList.contains("unsent");
      const after = this.bubbles().findLast((other) =>
        unsent ? true : !other.classList.contains("unsent") && comes(other, bubble),
      );
      const older = this.messages.querySelector("#older");
      // Older than what is loaded: it comes when the reader scrolls there.
      if (!after && older && this.bubbles().length) continue;
      if (after) after.after(bubble);
      else if (older) older.after(bubble);
      else this.messages.prepend(bubble);
      bubble.classList.add("new");
      if (!bubble.nextElementSibling || bubble.nextElementSibling.classList.contains("unsent")) added += 1;
    }
    return added;
  }

  // ---- where the reader is -----------------------------------------------------------------------------------------

  atEnd() {
    return this.scroller.scrollTop > -60;
  }

  /** Changes the thread and leaves what is being read where it is. At the end, the end is what is being read. */
  keeping(change) {
    if (this.atEnd() && !this.messages.querySelector("#newer")) {
      const answer = change();
      this.scroller.scrollTop = 0;
      return answer;
    }
    const top = this.scroller.getBoundingClientRect().top;
    const anchor = this.bubbles().find((bubble) => bubble.getBoundingClientRect().bottom > top + 4);
    const before = anchor?.getBoundingClientRect().top;
    const answer = change();
    const still = anchor && (anchor.isConnected ? anchor : document.getElementById(anchor.id));
    if (still) this.scroller.scrollTop += still.getBoundingClientRect().top - before;
    return answer;
  }

  scrolled() {
    const end = this.atEnd() && !this.messages.querySelector("#newer");
    if (end && this.news) {
      this.news = 0;
      this.seen();
    }
    this.pill.hidden = end;
    this.pill.classList.toggle("news", this.news > 0);
    this.pill.querySelector("span").textContent = this.news ? `${this.news} new message${this.news > 1 ? "s" : ""}` : "Newest";
    this.closeFaces();
  }

  toNewest() {
    if (this.messages.querySelector("#newer")) dispatchEvent(new CustomEvent("twinline:goto", { detail: this.address }));
    else this.scroller.scrollTo({ top: 0, behavior: "smooth" });
  }

  watch() {
    for (const edge of this.messages.querySelectorAll(".edge")) this.sight.observe(edge);
  }

  async sighted(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting || target.dataset.busy) continue;
      target.dataset.busy = "yes";
      const older = target.id === "older";
      try {
        const { text } = await ask(`${this.address}/messages?${older ? "before" : "after"}=${encodeURIComponent(target.dataset.cursor)}`);
        if (!target.isConnected) return;
        const content = fragment(text);
        for (const bubble of content.querySelectorAll("[data-at]")) document.getElementById(bubble.id)?.remove();
        this.keeping(() => {
          target.replaceWith(content);
          this.dress();
        });
        this.watch();
        this.scrolled();
      } catch (error) {
        toast(error.message, "danger");
        delete target.dataset.busy;
        this.sight.unobserve(target);
        if (passes(error)) setTimeout(() => target.isConnected && this.sight.observe(target), AGAIN);
      }
    }
  }

  /** Brings a message into view; from the history if it isn't loaded. */
  show(wamid) {
    const bubble = document.getElementById(`m-${wamid}`);
    if (!bubble) {
      dispatchEvent(new CustomEvent("twinline:goto", { detail: `${this.address}?around=${encodeURIComponent(wamid)}` }));
      return;
    }
    bubble.scrollIntoView({ block: "center" });
    bubble.classList.add("flash");
    setTimeout(() => bubble.classList.remove("flash"), 1700);
    this.scrolled();
  }

  // ---- live --------------------------------------------------------------------------------------------------------

  happened(event) {
    const here = ([contact]) => String(contact) === this.contact;
    for (const [, wamid] of (event.messages ?? []).filter(here)) this.wanted.wamid.add(wamid);
    for (const [, wamid] of (event.media ?? []).filter(here)) this.wanted.wamid.add(wamid);
    for (const [, id] of (event.outbox ?? []).filter(here)) this.wanted.outbox.add(id);
    this.fetch();
    const named = (contacts) => (contacts ?? []).some((contact) => String(contact) === this.contact);
    const around = named(event.chats) || (event.messages ?? []).some(here) || event.number;
    if (around) this.state();
    if (around || (event.outbox ?? []).some(here) || named(event.about)) this.renewPanel();
  }

  /** At once when nothing is under way; what comes meanwhile goes together in the next. */
  async fetch() {
    const { wamid, outbox } = this.wanted;
    if (this.fetching || (!wamid.size && !outbox.size)) return;
    this.fetching = true;
    this.wanted = { wamid: new Set(), outbox: new Set() };
    try {
      while (wamid.size || outbox.size) {
        const names = [...wamid].slice(0, 50);
        const ids = [...outbox].slice(0, 50);
        const { text } = await ask(`${this.address}/messages?${new URLSearchParams({ wamid: names, outbox: ids })}`);
        if (this.off.signal.aborted) return;
        this.take(fragment(text), ids);
        for (const name of names) wamid.delete(name);
        for (const id of ids) outbox.delete(id);
      }
    } catch (error) {
      toast(error.message, "danger");
      if (passes(error)) {
        for (const name of wamid) this.wanted.wamid.add(name);
        for (const id of outbox) this.wanted.outbox.add(id);
        await new Promise((done) => setTimeout(done, AGAIN));
      }
    }
    this.fetching = false;
    if (!this.off.signal.aborted) this.fetch();
  }

  /** ``asked``: outbox ids; one that isn't answered has become a message (or was cancelled). */
  take(content, asked = []) {
    // While the reader is in the middle of the past, the present isn't contiguous with it.
    if (this.messages.querySelector("#newer")) {
      for (const child of [...content.children]) if (!document.getElementById(child.id)) child.remove();
    }
    const end = this.atEnd();
    const theirs = content.querySelectorAll(".bubble.in").length;
    const added = this.keeping(() => {
      for (const id of asked) {
        if (!content.querySelector(`[id="o-${id}"]`)) document.getElementById(`o-${id}`)?.remove();
      }
      const count = this.merge(content);
      this.dress();
      return count;
    });
    if (added && !end) this.news += added;
    if (added && theirs && end) this.seen();
    this.scrolled();
  }

  /** Head, floor and window, drawn anew. Coalesced: they change rarely and matter little to the millisecond. */
  state(pause = 250) {
    if (this.stating) return;
    this.stating = setTimeout(async () => {
      this.stating = null;
      if (this.off.signal.aborted) return;
      try {
        const { text } = await ask(`${this.address}/state`);
        this.around(fragment(text));
      } catch (error) {
        if (passes(error)) this.state(AGAIN);
        else if (error.status !== 404) console.warn(error);
      }
    }, pause);
  }

  around(content) {
    for (const part of [...content.children]) {
      const old = document.getElementById(part.id);
      // What somebody has unfolded stays so.
      for (const opened of old?.querySelectorAll("details[open]") ?? []) part.querySelector(`#${opened.id}`)?.setAttribute("open", "");
      if (old && old.outerHTML !== part.outerHTML) this.keeping(() => old.replaceWith(part));
    }
    localise(this.root);
    this.composer?.allow(this.root.querySelector("#window").dataset.open === "yes");
  }

  /** The team has read this, if somebody is looking. */
  seen() {
    if (!this.composer || document.hidden || !document.hasFocus() || !this.atEnd()) return;
    ask(`${this.address}/read`, { method: "POST" }).catch(() => {});
  }

  // ---- what hangs on a bubble --------------------------------------------------------------------------------------

  clicked(event) {
    const { target } = event;
    const bubble = target.closest(".bubble");
    const jump = target.closest("[data-jump]");
    const earlier = target.closest("[data-earlier]");
    const lightbox = target.closest("[data-lightbox]");
    const post = target.closest("[data-post]");
    if (target.closest("[data-panel-toggle]")) this.togglePanel();
    else if (jump) {
      event.preventDefault();
      if (!wide.matches) this.root.classList.add("no-panel");
      this.show(jump.dataset.jump);
    } else if (earlier) {
      const box = bubble.querySelector(".earlier");
      this.keeping(() => (box.hidden = !box.hidden));
      earlier.setAttribute("aria-expanded", String(!box.hidden));
    } else if (lightbox && !event.metaKey && !event.ctrlKey) {
      event.preventDefault();
      enlarge(lightbox.href, lightbox.querySelector("img").alt);
    } else if (target.closest("[data-quote]")) {
      const button = target.closest("[data-quote]");
      this.composer?.quote(wamidOf(bubble), button.dataset.who, button.dataset.line);
    } else if (target.closest("[data-react]")) this.faces(bubble);
    else if (target.closest("[data-unreact]")) this.composer?.react(wamidOf(bubble), "");
    else if (post) this.post(post);
    else if (target === this.root) this.togglePanel();
    if (!target.closest(".react-bar, [data-react]")) this.closeFaces();
  }

  async post(button) {
    button.disabled = true;
    try {
      const { text } = await ask(button.dataset.post, { method: "POST" });
      this.around(fragment(text));
    } catch (error) {
      toast(error.message, "danger");
    } finally {
      button.disabled = false;
    }
  }

  faces(bubble) {
    this.closeFaces();
    const bar = document.createElement("div");
    bar.className = "react-bar";
    bar.setAttribute("role", "menu");
    const mine = bubble.querySelector('.reactions [title="You"]')?.textContent;
    for (const face of FACES) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: face });
      button.setAttribute("role", "menuitem");
      button.addEventListener("click", () => {
        this.composer?.react(wamidOf(bubble), face === mine ? "" : face);
        this.closeFaces();
      });
      bar.append(button);
    }
    const more = Object.assign(document.createElement("button"), { type: "button", textContent: "+", className: "more" });
    more.setAttribute("role", "menuitem");
    more.setAttribute("aria-label", "Any other emoji");
    more.addEventListener("click", (event) => {
      event.stopPropagation();
      this.closeFaces();
      this.composer?.emoji(wamidOf(bubble));
    });
    bar.append(more);
    const frame = this.root.querySelector(".scroll-frame");
    const place = bubble.getBoundingClientRect();
    const around = frame.getBoundingClientRect();
    frame.append(bar);
    bar.style.top = `${Math.max(6, place.top - around.top - bar.offsetHeight - 2)}px`;
    const left = bubble.classList.contains("out") ? place.right - bar.offsetWidth : place.left;
    bar.style.left = `${Math.max(6, Math.min(left - around.left, around.width - bar.offsetWidth - 6))}px`;
    bar.firstElementChild.focus({ preventScroll: true });
  }

  /** Shows a reaction before WhatsApp has it; the message is drawn anew when it does. Answers how to take it back. */
  reacting(wamid, emoji) {
    const bubble = document.getElementById(`m-${wamid}`);
    const before = bubble.querySelector(".reactions")?.cloneNode(true);
    const chips = bubble.querySelector(".reactions") ?? Object.assign(document.createElement("div"), { className: "reactions" });
    chips.querySelector('[title="You"]')?.remove();
    if (emoji) chips.append(Object.assign(document.createElement("button"), { type: "button", title: "You", textContent: emoji, className: "sending" }));
    if (chips.children.length) bubble.querySelector(".body").append(chips);
    else chips.remove();
    bubble.classList.toggle("reacted", chips.children.length > 0);
    return () => {
      chips.remove();
      if (before) bubble.querySelector(".body").append(before);
      bubble.classList.toggle("reacted", Boolean(before));
    };
  }

  closeFaces() {
    this.root.querySelector(".react-bar")?.remove();
  }

  escape(event) {
    if (this.root.querySelector("dialog[open]")) return; // the browser closes it
    if (this.root.querySelector(".react-bar")) this.closeFaces();
    else if (!wide.matches && !this.root.classList.contains("no-panel")) this.togglePanel();
    else this.composer?.escape(event);
  }

  // ---- the panel ---------------------------------------------------------------------------------------------------

  togglePanel() {
    const closed = this.root.classList.toggle("no-panel");
    if (wide.matches) localStorage.setItem("panel", closed ? "closed" : "open");
    if (!closed) this.panel();
  }

  async panel() {
    const panel = this.root.querySelector("#panel");
    try {
      const { text } = await ask(panel.dataset.from);
      panel.replaceChildren(fragment(text));
      localise(panel);
    } catch (error) {
      toast(error.message, "danger");
    }
  }

  /** Something has happened that it may tell of. Coalesced, like ``state``. */
  renewPanel(pause = 500) {
    if (this.renewing) return;
    this.renewing = setTimeout(async () => {
      this.renewing = null;
      const panel = this.root.querySelector("#panel");
      if (this.off.signal.aborted || this.root.classList.contains("no-panel") || !panel.firstElementChild) return;
      try {
        const { text } = await ask(panel.dataset.from);
        this.beside(fragment(text));
      } catch (error) {
        if (passes(error)) this.renewPanel(AGAIN);
        else if (error.status !== 404) console.warn(error);
      }
    }, pause);
  }

  /** Its parts, drawn anew where they changed. What somebody is filling in or has unfolded stays. */
  beside(content) {
    localise(content);
    const body = this.root.querySelector(".panel-body");
    const parts = [...content.querySelector(".panel-body").children];
    for (const old of [...body.children]) if (!parts.some((part) => part.id === old.id)) old.remove();
    for (const part of parts) {
      const old = document.getElementById(part.id);
      if (!old) body.append(part);
      else if (!filledIn(old)) {
        const folded = part.querySelector("details");
        if (folded && old.querySelector("details")) folded.open = old.querySelector("details").open;
        if (old.outerHTML !== part.outerHTML) old.replaceWith(part);
      }
    }
  }

  async submitted(event) {
    const form = event.target.closest("[data-post-form]");
    if (!form) return;
    event.preventDefault();
    try {
      const { text } = await ask(form.dataset.postForm, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const panel = this.root.querySelector("#panel");
      panel.replaceChildren(fragment(text));
      localise(panel);
      toast("Saved");
    } catch (error) {
      toast(error.message, "danger");
    }
  }
}

const wamidOf = (bubble) => bubble.id.slice("m-".length);

/** Whether ``one`` stands before ``other``: by time, then by data-key, as the server orders them. */
function comes(one, other) {
  const a = Number(one.dataset.at);
  const b = Number(other.dataset.at);
  return a < b || (a === b && one.dataset.key < other.dataset.key);
}

function enlarge(address, text) {
  const dialog = document.createElement("dialog");
  dialog.className = "lightbox";
  dialog.append(Object.assign(new Image(), { src: address, alt: text }));
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
