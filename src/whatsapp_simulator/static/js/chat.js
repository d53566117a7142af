// A chat: the thread and the composer. The phone of the business and the customer's use the same one, each from its
// side: `side` says who looks, `base` is whose control API acts and `peer` names the other one in its bodies.

import { clock, get, post, soon, upload } from "./api.js";
import { bubble, mine, preview } from "./bubble.js";
import { ask, avatar, day, field, fill, full, h, icon, reconcile, toast, tried } from "./dom.js";
import { GROUPS, QUICK } from "./emoji.js";

const PAGE = 60;
const EDIT_SECONDS = { customer: 15 * 60, business: Infinity };
const DELETE_SECONDS = { customer: 2 * 86400, business: Infinity };
const EDITABLE = ["text", "image", "video", "document"];
/* What a customer's own phone hasn't been given yet, or never will. */
const UNDELIVERED = ["accepted", "sent", "pending", "failed", "error"];

export class Chat {
  /** `names`: {mine, peer}. `onload` gets the answer of each refresh. */
  constructor({ side, base, peer, thread, names, onload = () => {} }) {
    Object.assign(this, { side, base, peer, path: thread, names, onload });
    this.limit = PAGE;
    this.messages = [];
    this.reply = this.editing = null;
    this.refresh = soon(() => this.load());
    this.list = h("div", { class: "messages", role: "list", "aria-label": "Messages" });
    this.thread = h("div", { class: "thread", tabindex: 0, onscroll: () => this.scrolled() }, h("p", { class: "notice" }, "A simulated chat: nothing leaves this machine."), this.list);
    this.fresh = 0;
    this.jump = h("button", { class: "to-end", type: "button", hidden: true, "aria-label": "To the newest message", onclick: () => this.toEnd(true) }, icon("down"), h("b", {}));
    this.element = h("div", { class: "chat" }, this.thread, this.jump, this.composer());
    this.following = true;
    new ResizeObserver(() => this.following && this.toEnd()).observe(this.thread);
    this.list.addEventListener("load", () => this.following && this.toEnd(), true); // pictures grow the thread
    this.refresh();
  }

  act(what, body) {
    return post(`${this.base}/${what}`, { ...body, ...this.peer });
  }

  // ---- the thread ------------------------------------------------------------------------------------------------

  async load() {
    const answer = await get(`${this.path}?limit=${this.limit}`);
    const all = answer.messages;
    this.complete = all.length < this.limit;
    const before = this.messages.at(-1)?.id;
    this.messages = this.side === "business" ? all : all.filter((m) => m.direction === "in" || !UNDELIVERED.includes(m.status));
    const index = this.messages.findIndex((m) => m.id === before);
    const news = before && index >= 0 ? this.messages.slice(index + 1) : [];
    if (!this.following) this.fresh += news.filter((m) => !mine(m, this.side)).length;
    if (news.some((m) => mine(m, this.side))) this.following = true;
    if (news.length) this.typing(false);
    this.draw();
    this.onload(answer);
  }

  draw() {
    const byId = new Map(this.messages.map((m) => [m.id, m]));
    const now = clock.now();
    const hooks = {
      quoted: (id) => byId.get(id),
      name: (message) => (mine(message, this.side) ? "You" : this.names.peer),
      first: (message) => firsts.has(message.id),
      jump: (id) => this.show(id),
      open: (source) => lightbox(source),
      menu: (message, at) => this.menu(message, at),
      tap: tried((message, choice) => this.tap(message, choice)),
      played: (message) => this.side === "customer" && message.direction === "out" && message.content.voice && this.act("play", { message: message.id }).catch(() => {}),
    };
    const firsts = new Set();
    const items = [];
    let last = null;
    for (const message of this.messages) {
      const today = day(message.at, now);
      if (!last || day(last.at, now) !== today) {
        items.push({ key: `day ${today}`, signature: "", day: today });
        last = null;
      }
      if (!last || last.direction !== message.direction || message.at - last.at > 600) firsts.add(message.id);
      const quoted = message.context?.id ? byId.get(message.context.id) : null;
      const signature = JSON.stringify([message, firsts.has(message.id), quoted && preview(quoted, this.side)]);
      items.push({ key: message.id, signature, message });
      last = message;
    }
    const height = this.thread.scrollHeight;
    const top = this.thread.scrollTop;
    const older = this.grown;
    this.grown = false;
    reconcile(this.list, items, (item) => (item.message ? bubble(item.message, this.side, hooks) : h("p", { class: "day", role: "presentation" }, h("span", {}, item.day))));
    if (older) this.thread.scrollTop = top + this.thread.scrollHeight - height;
    else if (this.following) this.toEnd();
    this.ends();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.thread;
    this.following = scrollHeight - scrollTop - clientHeight < 60;
    if (this.following) this.fresh = 0;
    this.ends();
    if (scrollTop < 240 && !this.complete && !this.grown && this.messages.length) {
      this.grown = true;
      this.limit += PAGE;
      this.refresh();
    }
  }

  ends() {
    this.jump.hidden = this.following;
    this.jump.querySelector("b").textContent = this.fresh || "";
  }

  toEnd(smooth = false) {
    this.following = true;
    this.thread.scrollTo({ top: this.thread.scrollHeight, behavior: smooth ? "smooth" : "instant" });
  }

  show(id) {
    const row = document.getElementById(`m-${id}`);
    if (!row) return toast("That message is further back.");
    row.scrollIntoView({ block: "center", behavior: "smooth" });
    row.classList.add("shown");
    setTimeout(() => row.classList.remove("shown"), 1600);
    return undefined;
  }

  /** The three dots of somebody writing; Meta shows them for 25 seconds or until a message comes. */
  typing(on) {
    clearTimeout(this.dots);
    this.element.classList.toggle("typing", on);
    if (on) {
      this.dots = setTimeout(() => this.typing(false), 25000);
      if (!this.writing) this.thread.append((this.writing = h("p", { class: "writing", "aria-label": `${this.names.peer} is typing` }, h("i"), h("i"), h("i"))));
      if (this.following) this.toEnd();
    } else if (this.writing) {
      this.writing.remove();
      this.writing = null;
    }
  }

  // ---- the menu of a message --------------------------------------------------------------------------------------

  menu(message, at) {
    const own = mine(message, this.side);
    const age = clock.now() - message.at;
    const who = this.side;
    const act = (what, body) => tried(() => this.act(what, { message: message.id, ...body }))();
    const close = () => menu.hidePopover();
    const item = (mark, label, work, danger) =>
      h("button", { type: "button", role: "menuitem", class: danger ? "danger" : null, onclick: () => (close(), work()) }, icon(mark), label);
    const current = message.reactions[who];
    const text = message.type === "text" ? message.content.body : message.text ?? message.content?.caption ?? message.content?.body?.text;
    const menu = h(
      "div",
      { class: "menu", popover: "auto", role: "menu" },
      !message.revoked &&
        h(
          "div",
          { class: "quick" },
          QUICK.map((emoji) => h("button", { type: "button", role: "menuitem", "aria-label": `React ${emoji}`, class: current === emoji ? "on" : null, onclick: () => (close(), act("react", { emoji: current === emoji ? "" : emoji })) }, emoji)),
        ),
      !message.revoked && item("reply", "Reply", () => this.answer(message)),
      text && !message.revoked && item("copy", "Copy", () => navigator.clipboard?.writeText(text).then(() => toast("Copied"), () => {})),
      own && !message.revoked && EDITABLE.includes(message.type) && age < EDIT_SECONDS[who] && item("edit", "Edit", () => this.change(message)),
      who === "customer" && message.category === "marketing" && !own && item("bell", "Stop promotions", tried(() => this.stopPromotions())),
      item("info", "Info", () => about(message, this.element)),
      own && !message.revoked && age < DELETE_SECONDS[who] &&
        item("trash", "Delete for everyone", async () => {
          const sure = await ask({ title: "Delete this message for everyone?", yes: "Delete", danger: true });
          if (sure) act("delete", {});
        }, true),
    );
    popover(menu, at, this.element);
  }

  /** What WhatsApp offers under a business's promotions. */
  async stopPromotions() {
    await this.act("marketing", { value: "stop" });
    toast("Promotions stopped");
  }

  answer(message) {
    this.editing = null;
    this.reply = message;
    this.above();
    this.input.focus();
  }

  change(message) {
    this.reply = null;
    this.editing = message;
    this.input.value = message.type === "text" ? message.content.body : message.content.caption ?? "";
    this.above();
    this.sized();
    this.input.focus();
  }

  // ---- what a customer taps ---------------------------------------------------------------------------------------

  async tap(message, { kind, choice, title, sections, token }) {
    if (kind === "tap") return this.act("tap", { message: message.id, choice });
    if (kind === "copy") {
      await navigator.clipboard?.writeText(choice).catch(() => {});
      return toast(`${choice} copied`);
    }
    if (kind === "location") return this.act("send", { type: "location", reply_to: message.id });
    if (kind === "contact") return this.act("send", { type: "contacts", reply_to: message.id });
    if (kind === "flow") {
      const given = await ask({ title, text: "A flow's screens aren't simulated; what is written here comes back as its answer.", fields: [field("Answer", h("input", { name: "answer", value: "Two people, 20:30", required: true }))], yes: "Submit" });
      if (!given) return null;
      const nfm_reply = { name: "flow", body: "Sent", response_json: JSON.stringify({ flow_token: token ?? "unused", answer: given.answer }) };
      return this.act("send", { type: "interactive", content: { type: "nfm_reply", nfm_reply }, reply_to: message.id });
    }
    const rows = sections.map((section) => [
      section.title && h("h3", {}, section.title),
      section.rows.map((row) => h("label", { class: "option" }, h("span", {}, h("b", {}, row.title), row.description && h("small", {}, row.description)), h("input", { type: "radio", name: "row", value: row.id, required: true }))),
    ]);
    const given = await ask({ title, fields: [h("div", { class: "options" }, rows)], yes: "Send" });
    return given?.row ? this.act("tap", { message: message.id, choice: given.row }) : null;
  }

  // ---- the composer -----------------------------------------------------------------------------------------------

  composer() {
    this.input = h("textarea", {
      rows: 1,
      placeholder: "Message",
      "aria-label": "Message",
      oninput: () => this.sized(),
      onkeydown: (event) => this.key(event),
      onpaste: (event) => {
        const [file] = event.clipboardData.files;
        if (file) this.attach(file);
      },
    });
    this.context = h("div", { class: "context", hidden: true });
    this.file = h("input", { type: "file", hidden: true, tabindex: -1, "aria-label": "File to send", onchange: () => this.file.files[0] && this.attach(this.file.files[0]) });
    this.button = h("button", { class: "go", type: "button", onclick: () => this.go() });
    const form = h(
      "div",
      { class: "composer" },
      this.context,
      h(
        "div",
        { class: "line" },
        h("button", { class: "tool", type: "button", "aria-label": "Attach", onclick: (event) => this.attachments(event.currentTarget) }, icon("plus")),
        h("div", { class: "box" }, this.input, h("button", { class: "tool", type: "button", "aria-label": "Emoji", onclick: (event) => this.emoji(event.currentTarget) }, icon("smile"))),
        this.button,
        this.file,
      ),
    );
    this.sized();
    return form;
  }

  sized() {
    this.input.style.height = "auto";
    if (this.input.isConnected) this.input.style.height = `${Math.min(this.input.scrollHeight, 120)}px`;
    const name = this.editing ? "check" : this.input.value.trim() ? "send" : "mic";
    if (this.button.dataset.does !== name) {
      this.button.dataset.does = name;
      this.button.replaceChildren(icon(name));
      this.button.setAttribute("aria-label", { check: "Save the edit", send: "Send", mic: "Send a sample voice message" }[name]);
    }
  }

  above() {
    const about = this.reply ?? this.editing;
    this.context.hidden = !about;
    this.sized();
    if (!about) return;
    const [mark, said] = preview(about, this.side);
    const title = this.editing ? "Edit message" : mine(about, this.side) ? "You" : this.names.peer;
    fill(this.context, h("div", { class: this.reply && mine(about, this.side) ? "quote own" : "quote" }, h("b", {}, title), h("span", {}, mark && icon(mark), said)),
      h("button", { class: "tool", type: "button", "aria-label": "Cancel", onclick: () => this.leave() }, icon("close")),
    );
  }

  /** Drops the quote or the edit. */
  leave() {
    if (this.editing) this.input.value = "";
    this.reply = this.editing = null;
    this.above();
    this.input.focus();
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (this.input.value.trim()) this.go();
    } else if (event.key === "Escape" && (this.reply || this.editing)) {
      event.stopPropagation();
      this.leave();
    } else if (event.key === "ArrowUp" && !this.input.value && !this.editing) {
      const last = this.messages.findLast((m) => mine(m, this.side) && !m.revoked && m.type === "text");
      if (last && clock.now() - last.at < EDIT_SECONDS[this.side]) {
        event.preventDefault();
        this.change(last);
      }
    }
  }

  async go() {
    const text = this.input.value.trim();
    const { editing } = this;
    if (!text && !editing) return this.send({ type: "voice" });
    this.input.value = "";
    this.editing = null;
    const sent = tried(() => (editing ? this.act("edit", { message: editing.id, text }) : this.sending({ type: "text", text })));
    const done = await sent();
    if (done === undefined && !this.input.value) this.input.value = text;
    this.above();
    this.input.focus();
    return undefined;
  }

  sending(body) {
    const reply_to = this.reply?.id;
    this.reply = null;
    this.above();
    this.following = true;
    return this.act("send", reply_to ? { ...body, reply_to } : body);
  }

  send = tried((body) => this.sending(body));

  attachments(at) {
    const pick = (accept) => {
      this.file.accept = accept;
      this.file.value = "";
      this.file.click();
    };
    const close = () => menu.hidePopover();
    const item = (mark, label, work) => h("button", { type: "button", role: "menuitem", onclick: () => (close(), work()) }, icon(mark), label);
    const menu = h(
      "div",
      { class: "menu", popover: "auto", role: "menu" },
      item("camera", "Sample picture", () => this.send({ type: "image" })),
      item("image", "Photo or video from a file", () => pick("image/*,video/*")),
      item("file", "Document from a file", () => pick("")),
      item("file", "Sample document", () => this.send({ type: "document", filename: "order.pdf" })),
      item("mic", "Sample voice message", () => this.send({ type: "voice" })),
      item("video", "Sample video", () => this.send({ type: "video" })),
      item("sticker", "Sample sticker", () => this.send({ type: "sticker" })),
      item("pin", "Location", () => this.location()),
      item("card", "Contact", () => this.contact()),
      this.side === "customer" && item("poll", "Poll (unsupported, 131051)", () => this.send({ type: "unsupported" })),
      this.side === "customer" && item("info", "Unavailable first (131060)", () => this.send({ type: "first_message", text: "Hello, I saw your advert", heal_after: 5 })),
    );
    popover(menu, at, this.element);
  }

  async attach(file) {
    const kind = ["image", "video", "audio"].find((one) => file.type.startsWith(`${one}/`)) ?? "document";
    const source = kind === "image" ? URL.createObjectURL(file) : null;
    const caption = kind === "audio" ? null : field("Caption", h("input", { name: "caption", autocomplete: "off" }));
    const shown = source ? h("img", { class: "chosen", src: source, alt: "" }) : h("p", { class: "paper" }, icon("file"), file.name);
    const given = await ask({ title: "Send this file?", fields: [shown, caption], yes: "Send" });
    if (source) URL.revokeObjectURL(source);
    if (given) tried(async () => this.sending({ type: kind, media_id: await upload(file), caption: given.caption, filename: file.name }))();
  }

  async location() {
    const input = (name, value) => h("input", { name, value, required: true, autocomplete: "off" });
    const given = await ask({
      title: "Send a location",
      fields: [field("Name", input("name", "Plaça de Catalunya")), field("Address", input("address", "Barcelona")), field("Latitude", input("latitude", "41.3874")), field("Longitude", input("longitude", "2.1686"))],
      yes: "Send",
    });
    if (!given) return;
    this.send({ type: "location", content: { ...given, latitude: Number(given.latitude) || 0, longitude: Number(given.longitude) || 0 } });
  }

  async contact() {
    const given = await ask({
      title: "Send a contact",
      fields: [field("Name", h("input", { name: "name", value: "Joan Serra", required: true, autocomplete: "off" })), field("Number", h("input", { name: "phone", value: "+1 415 555 0188", required: true, inputmode: "tel", autocomplete: "off" }))],
      yes: "Send",
    });
    if (!given) return;
    const [first_name, ...rest] = given.name.split(" ");
    const name = { formatted_name: given.name, first_name, ...(rest.length ? { last_name: rest.join(" ") } : {}) };
    this.send({ type: "contacts", content: [{ name, phones: [{ phone: given.phone, wa_id: given.phone.replace(/\D/g, ""), type: "CELL" }] }] });
  }

  emoji(at) {
    const put = (emoji) => {
      const { selectionStart, selectionEnd } = this.input;
      this.input.setRangeText(emoji, selectionStart, selectionEnd, "end");
      this.sized();
    };
    const panel = h(
      "div",
      { class: "menu emoji", popover: "auto" },
      GROUPS.map(([name, all]) => [h("h3", {}, name), h("div", {}, all.map((one) => h("button", { type: "button", onclick: () => put(one) }, one)))]),
    );
    panel.addEventListener("toggle", ({ newState }) => newState === "closed" && this.input.focus());
    popover(panel, at, this.element);
  }
}

// ---- what lies over a chat ----------------------------------------------------------------------------------------

/** Opens a popover beside an element, inside the phone's screen. */
export function popover(menu, at, within) {
  const screen = (within.closest(".screen") ?? document.documentElement).getBoundingClientRect();
  const place = at.getBoundingClientRect();
  within.append(menu);
  menu.addEventListener("toggle", ({ newState }) => newState === "closed" && menu.remove());
  menu.showPopover();
  const { width, height } = menu.getBoundingClientRect();
  const clamp = (value, least, most) => Math.max(least, Math.min(value, most));
  const below = place.bottom + 6 + height < screen.bottom;
  menu.style.left = `${clamp(place.left + place.width / 2 - width / 2, screen.left + 8, screen.right - width - 8)}px`;
  menu.style.top = `${clamp(below ? place.bottom + 6 : place.top - height - 6, screen.top + 8, screen.bottom - height - 8)}px`;
  const items = [...menu.querySelectorAll("[role=menuitem]")];
  items[0]?.focus();
  menu.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || !items.length) return;
    event.preventDefault();
    items.at((items.indexOf(document.activeElement) + step) % items.length).focus();
  });
}

function lightbox(source) {
  const dialog = h("dialog", { class: "lightbox", onclick: () => dialog.close(), onclose: () => dialog.remove() }, h("img", { src: source, alt: "" }), h("button", { type: "button", "aria-label": "Close" }, icon("close")));
  document.body.append(dialog);
  dialog.showModal();
}

const ORIGINS = { customer: "the customer", app: "this phone's owner", api: "the platform, through the API", history: "the phone, before it was connected" };

function about(message) {
  const rows = { "Sent by": ORIGINS[message.origin], Type: message.type, Status: message.status, Time: full(message.at), Id: message.id };
  if (message.error) rows.Error = message.error;
  if (message.opaque) rows["Callback data"] = message.opaque;
  const earlier = message.edits.map((one) => h("li", {}, one?.body ?? one?.caption ?? JSON.stringify(one)));
  ask({
    title: "Message info",
    fields: [h("dl", { class: "facts" }, Object.entries(rows).map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])), earlier.length > 0 && [h("h3", {}, "Before it was edited"), h("ul", {}, earlier)]],
    yes: "Close",
    no: "",
  });
}

/** The head of a chat: back, who it is, tools. */
export function chatHead({ name, mark, line, back, tools = [], open }) {
  return h(
    "header",
    { class: "chat-head" },
    back && h("a", { class: "tool", href: back, "aria-label": "Back" }, icon("back")),
    h(open ? "a" : "div", { class: "who", href: open }, avatar(name, mark), h("span", {}, h("b", {}, name), h("small", {}, line))),
    tools,
  );
}
