// The editor of an automation. Its state is the definition, as JSON; the server says what is wrong with it, how each
// part reads in words, and how its messages look, and keeps it as the draft while it is being written.

import { ask, fragment, toast } from "../app.js";
import { localise } from "../times.js";
import { h, icon } from "./draw.js";
import { Flow } from "./flow.js";
import { at, find, keyOf, known, list, move, neighbour, walk } from "./model.js";
import { Talk } from "./talk.js";
import { Yaml } from "./yaml.js";

const root = document.getElementById("editor");
const given = JSON.parse(document.getElementById("editor-data").textContent);
const PAUSE = 350; // ms without a key until the server is asked
const COALESCE = 1200; // ms within which typing is one change to undo
const MOST_UNDO = 200;

class Editor {
  constructor() {
    this.doc = given.definition;
    this.catalogue = given.catalogue;
    this.facts = given.known;
    this.problems = given.problems;
    this.readonly = given.readonly;
    this.sentences = new WeakMap();
    this.previewed = new Map();
    this.past = [];
    this.future = [];
    this.last = JSON.stringify(this.doc);
    this.draftAt = given.draft_at;
    this.flow = new Flow(document.getElementById("flow"), this);
    this.say(given.sentences, this.parts());
    this.talk = new Talk(document.getElementById("talk"), this, given.clock);
    this.talk.begins(given.beginnings);
    this.yaml = new Yaml(document.getElementById("yaml"), this);
    this.picker = document.getElementById("picker");
    this.listen();
    this.draw();
    this.told();
    if (location.hash === "#yaml") this.view("yaml");
  }

  draw() {
    this.flow.draw();
  }

  // ---- what others ask of it ---------------------------------------------------------------------------------------

  list = (path) => list(this.doc, path);
  known = () => known(this.catalogue, this.doc);

  options(of) {
    if (of === "choices") return this.known().choices;
    if (of === "vars") return this.known().vars.map((name) => [name, name]);
    return this.facts[of] ?? [];
  }

  sentence(path) {
    const one = at(this.doc, path);
    return one && typeof one === "object" ? this.sentences.get(one) : "";
  }

  preview(path) {
    const html = this.previewed.get(keyOf(path));
    return html ? fragment(html) : h("p", { class: "muted small" }, "…");
  }

  show(path) {
    this.talk.highlight?.(path);
  }

  // ---- changes -----------------------------------------------------------------------------------------------------

  /** `how`: "typing" waits for a pause; "choice" and "structure" are looked at at once. `undoable`: says so, with Undo. */
  changed(how = "typing", undoable = "") {
    const now = JSON.stringify(this.doc);
    if (now !== this.last) {
      const fresh = how !== "typing" || this.how !== "typing" || performance.now() - this.typedAt > COALESCE;
      if (fresh) this.past.push(this.last);
      if (this.past.length > MOST_UNDO) this.past.shift();
      this.future = [];
      this.last = now;
      this.how = how;
      this.typedAt = performance.now();
      this.dirty = true;
      if (!this.conflict) this.status("Saving…");
    }
    this.buttons();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), how === "typing" ? PAUSE : 0);
    if (undoable) this.offerUndo(undoable);
  }

  undo() {
    this.step(this.past, this.future);
  }

  redo() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) return;
    to.push(this.last);
    this.replace(JSON.parse(from.pop()));
    this.how = "step";
    this.last = JSON.stringify(this.doc);
    this.dirty = true;
    this.buttons();
    this.draw();
    this.check();
  }

  /** Another definition in place of this one; cards stay open, and keep their sentences until the server says new ones. */
  replace(doc) {
    const before = this.parts();
    const said = new Map(before.map(([key, one]) => [key, [this.sentences.get(one), this.flow.open.has(one)]]));
    this.doc = doc;
    for (const [key, one] of this.parts()) {
      const [sentence, open] = said.get(key) ?? [];
      if (sentence) this.sentences.set(one, sentence);
      if (open) this.flow.open.add(one);
    }
  }

  offerUndo(words) {
    document.querySelector(".toast.undo")?.remove();
    const note = h("div", { class: "toast undo" }, words, h("button", { type: "button", onclick: () => {
      note.remove();
      this.undo();
    } }, "Undo"));
    document.getElementById("toasts").append(note);
    setTimeout(() => note.remove(), 8000);
  }

  shift(path, direction) {
    const place = neighbour(this.catalogue, this.doc, path, direction);
    if (place) this.moveTo(path, place.to, place.index);
  }

  moveTo(from, to, index) {
    const before = JSON.stringify(this.doc);
    const step = move(this.doc, from, to, index);
    if (!step || JSON.stringify(this.doc) === before) return;
    this.changed("structure");
    this.draw();
    const path = find(this.catalogue, this.doc, step);
    if (path) this.flow.focus(path);
  }

  // ---- the server --------------------------------------------------------------------------------------------------

  /** Everything that has a sentence: [key of its path, the object]. */
  parts() {
    const { doc, catalogue } = this;
    const parts = [];
    doc.triggers ??= [];
    doc.steps ??= [];
    doc.triggers.forEach((one, index) => parts.push([keyOf(["triggers", index]), one]));
    for (const { step, path } of walk(catalogue, doc.steps, ["steps"])) {
      parts.push([keyOf(path), step]);
      (step.branch ?? []).forEach((one, index) => parts.push([keyOf([...path, "branch", index]), one]));
    }
    if (doc.settings) parts.push(["/settings", doc.settings]);
    return parts;
  }

  say(sentences, parts) {
    for (const [key, one] of parts) if (sentences[key]) this.sentences.set(one, sentences[key]);
    this.ending = sentences["/end"];
  }

  /** Asks the server. One question at a time: one that is given up may have been kept nevertheless. */
  check() {
    clearTimeout(this.timer);
    this.again = Boolean(this.checking);
    this.checking ??= this.look().finally(() => {
      this.checking = null;
      if (this.again) this.check();
    });
    return this.checking;
  }

  async look() {
    const parts = this.parts();
    const open = parts.filter(([, one]) => this.flow.open.has(one)).map(([key]) => key);
    const keep = !this.readonly && this.dirty && !this.conflict;
    const sent = this.last;
    try {
      const { text } = await ask(`${root.dataset.address}/draft`, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ definition: this.doc, open, keep, draft_at: this.draftAt }),
      });
      const said = JSON.parse(text);
      this.say(said.sentences, parts);
      this.talk.begins(said.beginnings);
      if (keep && said.kept) {
        this.draftAt = said.draft_at;
        if (sent === this.last) this.dirty = false;
        this.status("Saved as draft");
      } else if (keep && said.overtaken) this.overtaken(said.overtaken);
      else if (keep) this.status("Not saved yet", true);
      // What came meanwhile stands elsewhere; it is asked about next.
      if (sent !== this.last) return;
      this.problems = said.problems;
      this.previewed = new Map(Object.entries(said.previews));
      this.told();
    } catch (error) {
      this.status(`Not saved: ${error.message}`, true);
    }
  }

  /** What is pressed to get what the definition speaks of and isn't there, or null; one press makes all of its kind. */
  mends({ what, name }) {
    const names = [...new Set(this.problems.filter(({ lacks }) => lacks?.what === what).map(({ lacks }) => `“${lacks.name}”`))];
    if (given.makes.includes(what) && !this.readonly) {
      const words = `Make the ${what}${names.length > 1 ? "s" : ""} ${names.join(" and ")}`;
      return h("button", { type: "button", class: "linklike", "data-make": what, "data-lacks": what }, words);
    }
    return this.place(what, name);
  }

  /** A way to where such a thing is made, if there is one. */
  place(what, name = "") {
    const [address, words] = given.made_at[what] ?? [];
    return address ? h("a", { class: "linklike", href: address.replace("{name}", name), "data-lacks": what }, words) : null;
  }

  async make(what) {
    try {
      const { text } = await ask(`${root.dataset.address}/lacking`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ definition: this.doc, what }),
      });
      const { made, known: facts } = JSON.parse(text);
      this.facts = facts;
      toast(`Made: ${made.join(", ")}`);
      this.draw();
      await this.check();
    } catch (error) {
      toast(error.message, "danger");
    }
  }

  /** Somebody else saved it meanwhile. What was written here stays; whoever wrote it says what becomes of it. */
  overtaken(html) {
    const dialog = document.getElementById("overtaken");
    this.conflict = true;
    dialog.replaceChildren(fragment(html));
    this.status("Not saved", true, h("button", { type: "button", class: "linklike", onclick: () => dialog.showModal() }, "Why?"));
    if (!dialog.open) dialog.showModal();
  }

  listenOvertaken() {
    const dialog = document.getElementById("overtaken");
    const leaves = () => { this.dirty = false; };
    dialog.addEventListener("submit", leaves);
    dialog.addEventListener("click", (event) => {
      const replaces = event.target.closest("[data-replace]");
      if (replaces) {
        this.conflict = false;
        this.draftAt = replaces.dataset.replace;
        dialog.close();
        this.check();
      } else if (event.target.closest("[data-take]")) {
        leaves();
        location.reload();
      }
    });
  }

  told() {
    this.flow.tell();
    const bad = this.problems.filter((one) => !one.warning).length;
    const doubtful = this.problems.length - bad;
    const place = document.getElementById("problems");
    place.className = `badge ${bad ? "danger" : doubtful ? "warn" : "ok"}`;
    place.replaceChildren(icon(bad ? "fail" : doubtful ? "warn" : "check"),
      bad ? `${bad} to mend` : doubtful ? `${doubtful} to look at` : "Ready");
    document.getElementById("name-problem").textContent = this.problems.find(({ path }) => path[0] === "name")?.says ?? "";
  }

  status(words, bad = false, more = "") {
    const place = document.getElementById("saved");
    place.replaceChildren(words, " ", more);
    place.classList.toggle("bad", bad);
  }

  // ---- the page ----------------------------------------------------------------------------------------------------

  buttons() {
    document.getElementById("undo").disabled = !this.past.length;
    document.getElementById("redo").disabled = !this.future.length;
  }

  listen() {
    const name = document.getElementById("name");
    name.addEventListener("input", () => {
      this.doc.name = name.value;
      this.changed("typing");
    });
    document.getElementById("undo").addEventListener("click", () => this.undo());
    document.getElementById("redo").addEventListener("click", () => this.redo());
    document.getElementById("problems").addEventListener("click", () => this.nextProblem());
    document.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.target.matches("input, textarea, select")) return;
      if (event.key === "z" && !event.shiftKey) this.undo();
      else if (event.key === "y" || (event.key === "z" && event.shiftKey)) this.redo();
      else return;
      event.preventDefault();
    });
    for (const tab of document.querySelectorAll("[data-view]")) {
      tab.addEventListener("click", (event) => {
        event.preventDefault();
        this.view(tab.dataset.view);
      });
    }
    // A change that hasn't been kept yet is kept before the draft is looked at.
    const publish = document.getElementById("publish");
    publish?.addEventListener("click", async () => {
      while (this.dirty && !this.conflict && !document.querySelector("#saved.bad")) await this.check();
      publish.dispatchEvent(new CustomEvent("publish"));
    });
    document.addEventListener("click", async ({ target }) => {
      const dialog = target.closest("dialog.publishing");
      const makes = target.closest("[data-make]");
      if (dialog && target.closest("[data-make], [data-closes]")) dialog.close();
      if (makes) await this.make(makes.dataset.make);
      if (dialog && makes) publish.click();
    });
    addEventListener("beforeunload", (event) => {
      if (this.dirty && !this.readonly) event.preventDefault();
    });
    for (const button of document.querySelectorAll("[data-side]")) {
      button.addEventListener("click", () => this.side(!root.classList.contains("side-open")));
    }
    document.querySelector(".side").addEventListener("keydown", (event) => event.key === "Escape" && this.side(false));
    this.listenPicker();
    this.listenOvertaken();
  }

  /** On a small screen the side comes over the flow, and whoever opens it writes there next. */
  side(open) {
    if (open === root.classList.contains("side-open")) return;
    root.classList.toggle("side-open", open);
    (open ? this.talk.form.elements.text : document.querySelector(".open-side")).focus();
  }

  async view(name) {
    if (name === "yaml") await this.yaml.open();
    root.dataset.showing = name;
    for (const tab of document.querySelectorAll("[data-view]")) {
      if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (name === "flow") this.draw();
  }

  /** Opens what a problem is about and goes there; the next one with each press. */
  nextProblem() {
    if (!this.problems.length) return;
    this.shown = ((this.shown ?? -1) + 1) % this.problems.length;
    const { path } = this.problems[this.shown];
    const card = this.parts().filter(([key]) => `/${path.join("/")}/`.startsWith(`${key}/`)).at(-1);
    if (path[0] === "settings") this.flow.settingsOpen = true;
    else if (card) this.flow.open.add(card[1]);
    this.draw();
    if (!this.flow.focusProblem(path)) document.getElementById(path[0] === "name" ? "name" : "add-trigger")?.focus();
  }

  // ---- choosing what to add ----------------------------------------------------------------------------------------

  pick(what, chosen) {
    const { picker } = this;
    this.chosen = chosen;
    const groups = grouped(Object.entries(this.catalogue[what]));
    picker.querySelector("h2").textContent = what === "steps" ? "Add a step" : "When should it begin?";
    picker.querySelector(".offers").replaceChildren(...[...groups].map(([group, ones]) =>
      h("section", {}, h("h3", {}, group), h("ul", {}, ones.map(([kind, offer]) =>
        h("li", {}, h("button", { type: "button", class: `offer group-${what === "steps" ? group.toLowerCase() : "begin"}`, "data-kind": kind },
          h("span", { class: "glyph" }, icon(offer.icon)), h("span", {}, h("strong", {}, offer.label), h("small", {}, offer.hint)))))))));
    const search = picker.querySelector("input");
    search.value = "";
    search.placeholder = what === "steps" ? "What should happen?" : "A word, a time, a tag …";
    picker.showModal();
    // Where there is no keyboard, one would come up and hide what can be chosen.
    (matchMedia("(hover: none)").matches ? picker.querySelector("[data-closes]") : search).focus();
  }

  listenPicker() {
    const { picker } = this;
    const search = picker.querySelector("input");
    const shown = () => [...picker.querySelectorAll(".offer")].filter((one) => !one.closest("li").hidden);
    search.addEventListener("input", () => {
      const wanted = search.value.toLowerCase();
      for (const item of picker.querySelectorAll(".offers li")) item.hidden = !item.textContent.toLowerCase().includes(wanted);
      for (const section of picker.querySelectorAll(".offers section")) section.hidden = !section.querySelector("li:not([hidden])");
    });
    picker.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === search) {
        event.preventDefault();
        shown()[0]?.click();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        const all = shown();
        const place = all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
        (all[place] ?? (place < 0 ? search : all[0]))?.focus();
        event.preventDefault();
      }
    });
    picker.addEventListener("click", (event) => {
      const offer = event.target.closest(".offer");
      if (offer) {
        picker.close();
        this.chosen(offer.dataset.kind);
      } else if (event.target === picker || event.target.closest("[data-closes]")) picker.close();
    });
  }
}

function grouped(entries) {
  const groups = new Map();
  for (const entry of entries) groups.set(entry[1].group, [...(groups.get(entry[1].group) ?? []), entry]);
  return groups;
}

document.body.addEventListener("htmx:afterSwap", (event) => {
  localise(event.detail.elt);
  if (event.detail.target.id === "publishing") document.querySelector("dialog.publishing").showModal();
});

new Editor();
