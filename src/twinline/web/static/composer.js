// What a person writes: text, files, quotes, reactions. Nothing typed is ever lost, and a double click sends once.

import { ask, fragment, toast } from "./app.js";
import { canRecord, record } from "./recorder.js";
import { Dialogs } from "./say.js";

const TYPING_EVERY = 20_000; // milliseconds: as long as WhatsApp shows it, about
const LINK = /https?:\/\/\S/i;

// As what a file goes out when nothing else is asked for; the server looks at what is in it.
const KINDS = ["image", "video", "audio"];
const ICONS = { image: "photo", sticker: "sticker", video: "video", audio: "music" };
const CAPTIONED = new Set(["image", "video", "document"]);
const kindOf = (file) => KINDS.find((kind) => file.type.startsWith(`${kind}/`)) ?? "document";

/** A file's size and its format, in the words of the thread (words.py, models.py). */
function size(octets) {
  let amount = octets;
  let unit = 0;
  while (amount >= 1024 && unit < 2) {
    amount /= 1024;
    unit += 1;
  }
  return `${amount.toFixed(unit && amount < 10 ? 1 : 0)} ${["B", "kB", "MB"][unit]}`;
}

const format = ({ name, type }) => (name.includes(".") ? name.split(".") : type.split(/[/.]/)).at(-1).toUpperCase().slice(0, 12);

const icon = (name) => `<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#${name}"></use></svg>`;

export class Composer {
  constructor(form, thread) {
    this.form = form;
    this.thread = thread;
    this.text = form.elements.text;
    this.quoted = form.elements.quoted;
    this.tray = form.querySelector(".tray");
    this.limits = JSON.parse(form.dataset.limits).media;
    this.files = [];
    this.waiting = []; // files on their way to us
    this.typed = -TYPING_EVERY; // when the customer was last told
    this.chain = Promise.resolve();
    this.draft = `draft:${thread.address}`;
    this.text.value = sessionStorage.getItem(this.draft) ?? "";

    const { signal } = thread.off;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.send(); }, { signal });
    this.text.addEventListener("keydown", (event) => this.key(event), { signal });
    this.text.addEventListener("input", () => { this.grow(); this.typing(); }, { signal });
    this.text.addEventListener("paste", (event) => this.pasted(event), { signal });
    form.querySelector("[data-unquote]").addEventListener("click", () => this.quote(null), { signal });
    form.querySelector("[data-emoji]").addEventListener("click", () => this.emoji(), { signal });
    form.elements.file.addEventListener("change", ({ target }) => { this.add(target.files, target.dataset.as); target.value = ""; }, { signal });
    form.querySelector(".attach").addEventListener("click", (event) => this.attach(event), { signal });
    form.querySelector("[data-record]").hidden = !canRecord();
    form.addEventListener("click", (event) => this.voice(event), { signal });
    signal.addEventListener("abort", () => this.recording?.discard());
    this.dialogs = new Dialogs(form.parentElement, this);
    this.tray.addEventListener("click", (event) => this.drop(event), { signal });
    this.dragging(thread.root, signal);
    document.addEventListener("click", (event) => {
      if (!event.target.closest(".emoji-panel, [data-emoji]")) this.closeEmoji();
    }, { signal });
    this.grow();
  }

  get dirty() {
    return this.text.value !== "" || this.files.length > 0;
  }

  /** Keeps what is typed for when this chat is opened again in this tab. */
  remember() {
    if (this.text.value) sessionStorage.setItem(this.draft, this.text.value);
    else sessionStorage.removeItem(this.draft);
  }

  focus() {
    if (!this.form.hidden) this.text.focus({ preventScroll: true });
  }

  /** The window opened or closed. What is typed stays, also while it can't be sent. */
  allow(open) {
    this.form.hidden = !open;
  }

  grow() {
    this.form.querySelector(".link-preview").hidden = !LINK.test(this.text.value);
    // Browsers with field-sizing do this themselves.
    if (CSS.supports("field-sizing", "content")) return;
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight + 2}px`;
  }

  key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.send();
  }

  escape(event) {
    if (this.recording) this.form.querySelector("[data-discard]").click();
    else if (!this.form.querySelector(".emoji-panel").hidden) this.closeEmoji();
    else if (this.quoted.value) this.quote(null);
    else return;
    event.preventDefault();
    this.focus();
  }

  quote(wamid, who = "", line = "") {
    this.quoted.value = wamid ?? "";
    const box = this.form.querySelector(".quoting");
    box.hidden = !wamid;
    box.querySelector("strong").textContent = who;
    box.querySelector("span").textContent = line;
    if (wamid) this.focus();
  }

  /** The customer sees that somebody writes, if the number shows it. */
  typing() {
    if (!this.text.value.trim() || performance.now() - this.typed < TYPING_EVERY) return;
    this.typed = performance.now();
    ask(`${this.thread.address}/typing`, { method: "POST" }).catch(() => {});
  }

  // ---- files -------------------------------------------------------------------------------------------------------

  /** A choice of the menu: files of a kind, or a dialog. */
  attach(event) {
    const choice = event.target.closest("button");
    if (!choice) return;
    const { pick, accept, dialog } = choice.dataset;
    this.form.querySelector(".attach").open = false;
    if (dialog) return void this.dialogs.open(dialog);
    const { file } = this.form.elements;
    file.accept = accept;
    file.dataset.as = pick;
    file.click();
  }

  entry(file, as) {
    const asked = ["sticker", "document", "voice"].includes(as) ? as : "";
    const kind = asked === "voice" ? "audio" : asked || kindOf(file);
    return { file, key: crypto.randomUUID(), kind, as: asked, url: URL.createObjectURL(file) };
  }

  add(files, as) {
    for (const file of files) this.files.push(this.entry(file, as));
    this.draw();
    this.focus();
  }

  drop(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const gone = this.files.find((entry) => entry.key === button.dataset.key);
    this.files = this.files.filter((entry) => entry !== gone);
    URL.revokeObjectURL(gone.url);
    this.draw();
  }

  problem({ file, kind }) {
    if (!file.size) return "This file is empty.";
    // A picture that becomes a sticker is made smaller on the way.
    const most = this.limits[kind].size;
    if (kind !== "sticker" && file.size > most) return `${size(file.size)}: WhatsApp takes ${kind === "audio" ? "audio" : `${kind}s`} up to ${size(most)}.`;
    return null;
  }

  draw() {
    const all = [...this.waiting, ...this.files];
    this.tray.hidden = !all.length;
    this.tray.replaceChildren(
      ...all.map((entry) => {
        const item = document.createElement("li");
        const thumb = Object.assign(document.createElement("div"), { className: "thumb" });
        const draws = entry.file.type.startsWith("image/") ? new Image() : entry.kind === "video" && document.createElement("video");
        const instead = () => { thumb.innerHTML = icon(ICONS[entry.kind] ?? "document"); };
        if (draws) thumb.append(Object.assign(draws, { src: entry.url, alt: "", onerror: instead }));
        else instead();
        const name = Object.assign(document.createElement("p"), { textContent: entry.file.name, title: entry.file.name });
        const problem = this.problem(entry);
        const about = Object.assign(document.createElement("p"), { textContent: problem ?? `${entry.kind === "document" ? format(entry.file) : entry.kind} · ${size(entry.file.size)}`, className: problem ? "problem" : "muted" });
        item.append(thumb, name, about);
        if (this.waiting.includes(entry)) {
          item.className = "sending";
          about.textContent = "Sending…";
          return item;
        }
        const remove = Object.assign(document.createElement("button"), { type: "button", innerHTML: icon("close") });
        remove.dataset.key = entry.key;
        remove.setAttribute("aria-label", `Remove ${entry.file.name}`);
        item.append(remove);
        return item;
      }),
    );
    this.text.placeholder = this.files.length ? "Add a caption" : "Write a message";
  }

  pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  dragging(zone, signal) {
    let depth = 0;
    const carries = (event) => event.dataTransfer?.types.includes("Files") && !this.form.hidden;
    const show = (on) => zone.classList.toggle("dragging", on);
    zone.addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; show(true); } }, { signal });
    zone.addEventListener("dragleave", (event) => { if (carries(event) && (depth -= 1) <= 0) { depth = 0; show(false); } }, { signal });
    zone.addEventListener("dragover", (event) => carries(event) && event.preventDefault(), { signal });
    zone.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      depth = 0;
      show(false);
      this.add(event.dataTransfer.files);
    }, { signal });
  }

  // ---- sending -----------------------------------------------------------------------------------------------------

  /** Each file is a message of its own; the caption goes with the first that can bear one. The box is emptied at
   * once, so a second click finds nothing to send; messages leave one after the other, in the order of writing. */
  send() {
    const said = this.text.value;
    if (!said.trim() && !this.files.length) return;
    const wrong = this.files.map((entry) => this.problem(entry)).find(Boolean);
    if (wrong) return void toast(wrong, "danger");
    const jobs = [];
    let text = said;
    let quoted = this.quoted.value;
    for (const entry of this.files) {
      const bears = CAPTIONED.has(entry.kind);
      jobs.push({ entry, fields: { key: entry.key, type: entry.as, text: bears ? text : "", quoted, file: entry.file } });
      if (bears) text = "";
      quoted = "";
    }
    if (text.trim()) {
      const preview = LINK.test(text) && this.form.elements.preview.checked;
      this.form.elements.preview.checked = true;
      jobs.push({ fields: { key: this.keyFor(text), text, quoted, ...(preview && { content: '{"preview_url": true}' }) } });
    }
    this.text.value = "";
    this.waiting.push(...this.files);
    this.files = [];
    this.quote(null);
    this.draw();
    this.grow();
    this.remember();
    this.refused("");
    this.focus();
    this.chain = this.chain.then(() => this.deliver(jobs));
  }

  /** The same text tried again after a failure is the same message, also if the first try arrived after all. */
  keyFor(text) {
    return this.failed?.text === text ? this.failed.key : crypto.randomUUID();
  }

  async deliver(jobs) {
    while (jobs.length) {
      const [{ entry, fields }] = jobs;
      try {
        await this.post(fields);
      } catch (error) {
        this.giveBack(jobs);
        if (error.status === 409) this.refused(error.html);
        else toast(error.message, "danger");
        return;
      }
      jobs.shift();
      if (entry) {
        URL.revokeObjectURL(entry.url);
        this.waiting.splice(this.waiting.indexOf(entry), 1);
        this.draw();
      }
    }
  }

  /** What wasn't taken goes back where it was, in front of whatever was written meanwhile. */
  giveBack(jobs) {
    const entries = jobs.flatMap(({ entry }) => entry ?? []);
    this.waiting = this.waiting.filter((entry) => !entries.includes(entry));
    this.files.unshift(...entries);
    const text = jobs.map(({ fields }) => fields.text).filter(Boolean).join("\n");
    const last = jobs.at(-1);
    if (!last.entry) this.failed = { text: last.fields.text, key: last.fields.key };
    this.text.value = [text, this.text.value].filter(Boolean).join("\n");
    this.draw();
    this.grow();
    this.remember();
  }

  // ---- voice -------------------------------------------------------------------------------------------------------

  async voice(event) {
    const { target } = event;
    if (target.closest("[data-record]")) await this.startVoice();
    else if (target.closest("[data-discard]")) this.endVoice(await this.stopVoice("discard"));
    else if (target.closest("[data-finish]")) this.endVoice(await this.stopVoice("finish"));
  }

  async startVoice() {
    const strip = this.form.querySelector(".recording");
    const clock = strip.querySelector("output");
    clock.textContent = "0:00";
    try {
      this.recording = await record((seconds) => {
        clock.textContent = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
      });
    } catch (error) {
      return void toast(error.message, "danger");
    }
    strip.hidden = false;
    this.form.querySelector(".bar").hidden = true;
    strip.querySelector("[data-finish]").focus();
  }

  stopVoice(how) {
    const { recording } = this;
    this.recording = null;
    return recording?.[how]();
  }

  endVoice(file) {
    this.form.querySelector(".recording").hidden = true;
    this.form.querySelector(".bar").hidden = false;
    this.focus();
    if (!file) return;
    const entry = this.entry(file, "voice");
    const fields = { key: entry.key, type: "voice", text: "", quoted: this.quoted.value, file };
    this.waiting.push(entry);
    this.quote(null);
    this.draw();
    this.chain = this.chain.then(() => this.deliver([{ entry, fields }]));
  }

  // ---- reactions ---------------------------------------------------------------------------------------------------

  async react(wamid, emoji) {
    const undo = this.thread.reacting(wamid, emoji);
    try {
      await this.post({ key: crypto.randomUUID(), type: "reaction", text: emoji, quoted: wamid });
    } catch (error) {
      undo();
      if (error.status === 409) this.refused(error.html);
      else toast(error.message, "danger");
    }
  }

  async post(fields) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    const { text } = await ask(this.form.action, { method: "POST", body });
    if (this.thread.off.signal.aborted) return;
    const content = fragment(text);
    if (content.querySelector("[data-at]")) {
      if (this.thread.messages.querySelector("#newer")) return void this.thread.toNewest();
      this.thread.take(content);
      this.thread.scroller.scrollTop = 0;
    }
  }

  refused(html) {
    document.getElementById("refusal").replaceChildren(fragment(html));
  }

  // ---- emoji -------------------------------------------------------------------------------------------------------

  /** For the text, or as a reaction to a message. */
  async emoji(wamid = null) {
    this.reactingTo = wamid;
    const panel = this.form.querySelector(".emoji-panel");
    const button = this.form.querySelector("[data-emoji]");
    if (!panel.hidden) return this.closeEmoji();
    if (!panel.firstChild) {
      const { Picker } = await import("/static/vendor/emoji/index.js");
      const picker = new Picker({ dataSource: "/static/vendor/emoji/en.json", locale: "en" });
      picker.addEventListener("emoji-click", ({ detail }) => this.chosen(detail.unicode));
      panel.append(picker);
    }
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
      (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    panel.firstChild.className = dark ? "dark" : "light";
    panel.hidden = false;
    button.setAttribute("aria-expanded", "true");
    return undefined;
  }

  closeEmoji() {
    this.form.querySelector(".emoji-panel").hidden = true;
    this.form.querySelector("[data-emoji]").setAttribute("aria-expanded", "false");
  }

  chosen(emoji) {
    if (!this.reactingTo) return void this.insert(emoji);
    this.react(this.reactingTo, emoji);
    return void this.closeEmoji();
  }

  insert(emoji) {
    const { selectionStart: from, selectionEnd: to } = this.text;
    this.text.setRangeText(emoji, from, to, "end");
    this.text.dispatchEvent(new Event("input"));
  }
}
