// Draws the flow: what begins it, its steps as cards joined by a line, branches as columns. All of it is drawn anew
// after a change of structure; while somebody types only sentences and problems change.

import { h, icon, menu } from "./draw.js";
import { conditions, field, form, slotOf } from "./fields.js";
import { clone, keyOf, kindOf, lanes, pathOf, tidy, valueOf } from "./model.js";

export class Flow {
  constructor(root, editor) {
    this.root = root;
    this.editor = editor;
    this.open = new WeakSet();
    root.addEventListener("keydown", (event) => this.keys(event));
    root.addEventListener("dragstart", (event) => this.dragged(event));
    root.addEventListener("dragover", (event) => this.over(event));
    root.addEventListener("dragleave", (event) => event.target.closest?.(".joint")?.classList.remove("over"));
    root.addEventListener("dragend", () => this.dropped());
    root.addEventListener("drop", (event) => this.drop(event));
  }

  draw() {
    const { doc } = this.editor;
    const focused = document.activeElement?.id;
    const inside = this.root.contains(document.activeElement);
    const range = inside && "selectionStart" in document.activeElement ? [document.activeElement.selectionStart, document.activeElement.selectionEnd] : null;
    this.root.replaceChildren(
      this.begins(),
      this.lane(doc.steps, ["steps"], true),
      h("p", { class: "the-end" }, icon("flag"), h("span", {}, this.editor.ending)),
    );
    if (inside && focused) {
      const again = document.getElementById(focused);
      again?.focus({ preventScroll: true });
      try {
        if (again && range && range[0] !== null) again.setSelectionRange(...range);
      } catch { /* a field that has no caret */ }
    }
    if (this.editor.readonly) {
      this.root.classList.add("readonly");
      for (const part of this.root.querySelectorAll(".form, .only-if, .settings > .fields, .leads")) part.inert = true;
      for (const card of this.root.querySelectorAll("[draggable]")) card.draggable = false;
    }
    this.tell();
  }

  // ---- what begins it ----------------------------------------------------------------------------------------------

  begins() {
    const { doc, catalogue } = this.editor;
    const when = doc.when ?? [];
    return h("section", { class: "begins", "aria-label": "What begins it" },
      h("h2", { class: "flow-title" }, icon("bolt"), "When"),
      h("ul", { class: "triggers" }, doc.triggers.map((one, index) => this.trigger(one, ["triggers", index], index > 0))),
      h("div", { class: "row" },
        h("button", { type: "button", class: "button small", id: "add-trigger", onclick: () => this.editor.pick("triggers", (kind) => this.addTrigger(kind)) }, icon("plus"), doc.triggers.length ? "Or when …" : "Choose what begins it"),
        !when.length && h("button", { type: "button", class: "button ghost small", onclick: () => {
          doc.when = [{ hours: "open" }];
          this.editor.changed("choice");
          this.draw();
        } }, icon("plus"), "Only if …")),
      h("p", { class: doc.triggers.length ? "error" : "hint", "data-problem": "triggers", hidden: true }),
      when.length ? h("div", { class: "only-if" }, h("h3", {}, "Only"), conditions(when, ["when"], this.editor, { add: "And …" })) : null,
      catalogue.settings && this.settings(),
    );
  }

  trigger(one, path, more) {
    const kind = kindOf(one);
    const offer = this.editor.catalogue.triggers[kind] ?? { label: kind, icon: "bolt", fields: [] };
    const open = this.open.has(one) && offer.fields.length > 0;
    const remove = () => {
      this.editor.doc.triggers.splice(path.at(-1), 1);
      this.editor.changed("structure", `Removed “${offer.label}”`);
      this.draw();
    };
    return h("li", {},
      more && h("span", { class: "joined" }, "or"),
      h("article", { class: `step group-begin${open ? " open" : ""}`, "data-card": keyOf(path) },
        this.head(one, path, offer, open, offer.fields.length > 0, [["trash", "Remove", remove]]),
        open && h("div", { class: "form" }, h("div", { class: "fields" }, form(offer.fields, one, kind, [...path, kind], this.editor))),
        h("p", { class: "error", "data-problem": path.join("/"), hidden: true })));
  }

  addTrigger(kind) {
    const fresh = { [kind]: clone(this.editor.catalogue.triggers[kind].initial ?? {}) };
    this.editor.doc.triggers.push(fresh);
    if (this.editor.catalogue.triggers[kind].fields.length) this.open.add(fresh);
    this.editor.changed("structure");
    this.draw();
    this.focus(["triggers", this.editor.doc.triggers.length - 1], true);
  }

  settings() {
    const { doc, catalogue } = this.editor;
    doc.settings ??= {};
    const holder = doc.settings;
    holder.limits ??= {};
    const open = this.settingsOpen;
    const details = h("details", { class: "settings", open },
      h("summary", {}, icon("sliders"), h("span", { class: "sentence", "data-sentence": "/settings" }, this.editor.sentence(["settings"]) || "How often, and when it falls silent")),
      h("div", { class: "fields" },
        field({ name: "description", label: "What it is for", kind: "long", optional: true }, slotOf(doc, "description", ["description"], this.editor, true), this.editor),
        form(catalogue.settings, doc, "settings", ["settings"], this.editor),
        form(catalogue.limits, holder, "limits", ["settings", "limits"], this.editor)),
      h("p", { class: "error", "data-problem": "settings", hidden: true }));
    details.addEventListener("toggle", () => { this.settingsOpen = details.open; });
    return details;
  }

  // ---- steps -------------------------------------------------------------------------------------------------------

  lane(list, path, outer = false) {
    const joint = (index) => h("li", { class: "joint", "data-to": keyOf(path), "data-index": String(index) },
      h("button", { type: "button", class: "add", id: `add-${path.join("-")}-${index}`, "aria-label": index === 0 ? "Add a step at the beginning" : `Add a step after step ${index}`, title: "Add a step",
        onclick: () => this.editor.pick("steps", (kind) => this.add(kind, path, index)) },
      icon("plus"), !list.length && h("span", {}, outer ? "Add the first step" : "Add a step")));
    return h("ol", { class: `lane${outer ? " outer" : ""}${list.length ? "" : " empty"}` },
      joint(0),
      list.map((step, index) => [this.node(step, [...path, index]), joint(index + 1)]));
  }

  node(step, path) {
    const kind = kindOf(step);
    const offer = this.editor.catalogue.steps[kind] ?? { label: kind, icon: "fail", fields: [], group: "" };
    const open = this.open.has(step);
    const foldable = offer.fields.length > 0;
    const entries = [
      ["up", "Move up", () => this.editor.shift(path, "up"), "Alt ↑"],
      ["down", "Move down", () => this.editor.shift(path, "down"), "Alt ↓"],
      ["copy", "Duplicate", () => this.duplicate(path), "Ctrl D"],
      ["trash", "Remove", () => this.remove(path), "Del"],
    ];
    return h("li", { class: "node" },
      h("article", { class: `step group-${offer.group.toLowerCase()} kind-${kind}${open ? " open" : ""}`, "data-card": keyOf(path), draggable: !open },
        this.head(step, path, offer, open, foldable, entries),
        open && foldable && h("div", { class: `form${offer.preview ? " with-preview" : ""}` },
          h("div", { class: "fields" }, form(offer.fields, step, kind, [...path, kind], this.editor)),
          offer.preview && h("div", { class: "preview", "aria-label": "How it looks on their phone" }, this.editor.preview(path))),
        h("p", { class: "error", "data-problem": path.join("/"), hidden: true })),
      this.columns(step, path, kind, open));
  }

  head(one, path, offer, open, foldable, entries) {
    const sentence = h("span", { class: "sentence", "data-sentence": keyOf(path) }, this.editor.sentence(path) || offer.label);
    const inner = [h("span", { class: "glyph" }, icon(offer.icon)), sentence];
    return h("header", {},
      h("button", { type: "button", class: "fold", id: `fold-${path.join("-")}`, "aria-expanded": foldable ? String(open) : undefined, "aria-label": undefined, onclick: () => foldable && this.toggle(one, path) },
        inner, foldable && icon("chevron", "turns")),
      menu("What to do with it", entries));
  }

  toggle(one, path) {
    if (this.open.has(one)) this.open.delete(one);
    else this.open.add(one);
    this.draw();
    if (this.open.has(one)) {
      this.editor.check();
      this.editor.show(path);
    }
  }

  columns(step, path, kind, open) {
    const all = lanes(this.editor.catalogue, step, path);
    if (!all.length) return null;
    if (kind === "branch") {
      return h("div", { class: "columns", "data-ways": String(all.length) },
        all.map((lane) => this.column(step, lane)),
        h("button", { type: "button", class: "button ghost small add-way", onclick: () => this.addCase(step, path) }, icon("plus"), "Another way"));
    }
    const shown = all.filter((lane) => lane.list.length || open);
    if (!shown.length) return null;
    return h("div", { class: "columns aside" }, shown.map((lane) =>
      h("section", { class: "column" }, h("header", {}, h("h3", {}, lane.title)), this.lane(lane.list, lane.path), this.leads(step, kind, lane))));
  }

  /** Where an empty lane leads: without one the conversation ends there, with an empty one it goes on. */
  leads(step, kind, lane) {
    if (lane.list.length || lane.key === "ok") return null;
    const on = step[kind][lane.key] !== undefined;
    const change = () => {
      if (on) delete step[kind][lane.key];
      else step[kind][lane.key] = [];
      this.editor.changed("structure");
      this.draw();
    };
    return h("p", { class: "leads" }, on ? "Goes on with the next step." : "The conversation ends there.", h("button", { type: "button", class: "linklike", onclick: change }, on ? "End instead" : "Go on instead"));
  }

  column(step, lane) {
    const index = lane.key;
    const one = lane.case;
    const path = lane.path.slice(0, -1);
    const open = this.open.has(one);
    const last = one.otherwise;
    const swap = (other) => {
      const cases = step.branch;
      [cases[index], cases[other]] = [cases[other], cases[index]];
      this.editor.changed("structure");
      this.draw();
    };
    const remove = () => {
      step.branch.splice(index, 1);
      this.editor.changed("structure", "Removed a way");
      this.draw();
    };
    return h("section", { class: `column${last ? " otherwise" : ""}`, "data-card": keyOf(path) },
      h("header", {},
        h("button", { type: "button", class: "fold", id: `fold-${path.join("-")}`, "aria-expanded": last ? undefined : String(open), onclick: () => !last && this.toggle(one, path) },
          h("h3", { class: "sentence", "data-sentence": keyOf(path) }, this.editor.sentence(path) || (last ? "Otherwise" : "If …")), !last && icon("edit")),
        menu("What to do with this way", [
          !last && index > 0 && ["back", "Earlier", () => swap(index - 1)],
          !last && index < step.branch.length - 1 && !step.branch[index + 1].otherwise && ["next", "Later", () => swap(index + 1)],
          ["trash", "Remove this way", remove],
        ])),
      open && !last && h("div", { class: "form" }, conditions(one.when, [...path, "when"], this.editor, { add: "And …" })),
      h("p", { class: "error", "data-problem": path.join("/"), hidden: true }),
      this.lane(lane.list, lane.path));
  }

  addCase(step, path) {
    const cases = step.branch;
    const fresh = { when: [this.firstCondition()], steps: [] };
    const place = cases.at(-1)?.otherwise ? cases.length - 1 : cases.length;
    cases.splice(place, 0, fresh);
    this.open.add(fresh);
    this.editor.changed("structure");
    this.draw();
    this.focus([...path, "branch", place], true);
  }

  firstCondition() {
    const [first] = this.editor.known().choices;
    return first ? { choice: first[0] } : { text: { word: "" } };
  }

  // ---- doing -------------------------------------------------------------------------------------------------------

  add(kind, to, index) {
    const { catalogue, doc } = this.editor;
    const initial = clone(catalogue.steps[kind].initial ?? {});
    const step = { [kind]: kind === "branch" ? this.ways(to, index) : initial };
    this.editor.list(to).splice(index, 0, step);
    if (catalogue.steps[kind].fields.length) this.open.add(step);
    if (kind === "branch") for (const one of step.branch) if (!one.otherwise && !this.said(one)) this.open.add(one);
    this.editor.changed("structure");
    this.draw();
    this.focus([...to, index], true);
    return doc;
  }

  said = (one) => one.when.every((condition) => valueOf(condition) !== "" && JSON.stringify(valueOf(condition)) !== '{"word":""}');

  /** The ways of a new branch: one for each choice of the question before it. */
  ways(to, index) {
    for (let place = index - 1; place >= 0; place -= 1) {
      const before = this.editor.list(to)[place];
      const value = valueOf(before);
      const choices = value?.choices ?? value?.buttons ?? value?.sections?.flatMap((one) => one.rows ?? []);
      if (choices?.length) return [...choices.map(({ id }) => ({ when: [{ choice: id }], steps: [] })), { otherwise: true, steps: [] }];
    }
    return [{ when: [this.firstCondition()], steps: [] }, { otherwise: true, steps: [] }];
  }

  duplicate(path) {
    const list = this.editor.list(path.slice(0, -1));
    list.splice(path.at(-1) + 1, 0, clone(list[path.at(-1)]));
    this.editor.changed("structure");
    this.draw();
    this.focus([...path.slice(0, -1), path.at(-1) + 1]);
  }

  remove(path) {
    const list = this.editor.list(path.slice(0, -1));
    list.splice(path.at(-1), 1);
    tidy(this.editor.doc, path.slice(0, -1), list);
    this.editor.changed("structure", "Removed");
    this.draw();
    const next = Math.min(path.at(-1), list.length - 1);
    if (next >= 0) this.focus([...path.slice(0, -1), next]);
    else document.getElementById(`add-${path.slice(0, -1).join("-")}-0`)?.focus();
  }

  /** Puts the focus on a card, or on the first field of its form. */
  focus(path, form = false) {
    const card = this.root.querySelector(`[data-card="${CSS.escape(keyOf(path))}"]`);
    if (!card) return;
    const field = form && card.querySelector(":scope > .form input:not([type=file]):not([type=checkbox]), :scope > .form textarea, :scope > .form select");
    (field || card.querySelector(".fold"))?.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  // ---- keys and dragging -------------------------------------------------------------------------------------------

  keys(event) {
    const head = event.target.closest(".fold");
    const card = head?.closest(".step[data-card]");
    if (!card) return;
    const path = pathOf(card.dataset.card);
    if (path[0] !== "steps" || this.editor.readonly) return;
    const arrow = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" }[event.key];
    if (event.altKey && arrow) this.editor.shift(path, arrow);
    else if ((event.key === "Delete" || event.key === "Backspace") && !event.altKey) this.remove(path);
    else if (event.key === "d" && (event.ctrlKey || event.metaKey)) this.duplicate(path);
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !event.altKey) {
      const all = [...this.root.querySelectorAll(".step > header > .fold")];
      all[all.indexOf(head) + (arrow === "down" ? 1 : -1)]?.focus();
    } else return;
    event.preventDefault();
  }

  dragged(event) {
    const card = event.target.closest?.(".step[draggable=true]");
    if (!card) return;
    this.dragging = pathOf(card.dataset.card);
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", card.dataset.card);
    // Asked for now, Chromium would take the picture with these looks.
    requestAnimationFrame(() => {
      this.root.classList.add("dragging");
      card.classList.add("dragged");
    });
  }

  over(event) {
    const joint = this.dragging && this.jointFor(event.target, event.clientY);
    for (const other of this.root.querySelectorAll(".joint.over")) if (other !== joint) other.classList.remove("over");
    if (!joint) return;
    event.preventDefault();
    joint.classList.add("over");
  }

  /** The gap that is meant: the one under the pointer, else the nearer one of the card that is. */
  jointFor(target, y) {
    const joint = target.closest?.(".joint");
    if (joint) return joint;
    const node = target.closest?.(".node");
    const card = node?.querySelector(":scope > .step");
    if (!card) return null;
    const { top, height } = card.getBoundingClientRect();
    return y < top + height / 2 ? node.previousElementSibling : node.nextElementSibling;
  }

  drop(event) {
    const joint = this.dragging && this.jointFor(event.target, event.clientY);
    if (!joint) return;
    event.preventDefault();
    this.editor.moveTo(this.dragging, pathOf(joint.dataset.to), Number(joint.dataset.index));
    this.dropped();
  }

  dropped() {
    this.dragging = null;
    this.root.classList.remove("dragging");
    for (const card of this.root.querySelectorAll(".dragged, .over")) card.classList.remove("dragged", "over");
  }

  // ---- what the server said ----------------------------------------------------------------------------------------

  /** Puts sentences, problems and previews to their places, and leaves the fields alone. */
  tell() {
    const { editor } = this;
    for (const place of this.root.querySelectorAll("[data-sentence]")) {
      const sentence = editor.sentence(pathOf(place.dataset.sentence));
      if (sentence && place.textContent !== sentence) place.textContent = sentence;
    }
    for (const place of this.root.querySelectorAll("[data-problem]")) {
      place.hidden = true;
      place.textContent = "";
      place.classList.remove("warning");
    }
    for (const bad of this.root.querySelectorAll("[aria-invalid]")) bad.removeAttribute("aria-invalid");
    for (const card of this.root.querySelectorAll(".bad, .doubtful")) card.classList.remove("bad", "doubtful");
    for (const problem of editor.problems) this.place(problem);
    this.root.querySelector(".the-end span").textContent = editor.ending;
    for (const card of this.root.querySelectorAll(".step.open[data-card]")) {
      const box = card.querySelector(".preview");
      const fresh = box && editor.previewed.get(card.dataset.card);
      if (fresh !== undefined && fresh !== null && box.innerHTML !== fresh) box.innerHTML = fresh;
    }
  }

  /** Where a problem is said: at the field it is about, else at the card, else at whatever is around it. */
  placeOf(path) {
    for (let length = path.length; length > 0; length -= 1) {
      const here = this.root.querySelector(`[data-problem="${CSS.escape(path.slice(0, length).join("/"))}"]`);
      if (here) return here;
    }
    return null;
  }

  place({ path, says, warning, lacks }) {
    const here = this.placeOf(path);
    if (!here) return;
    here.hidden = false;
    here.append(h("span", {}, says), " ");
    const mends = lacks && !here.querySelector(`[data-lacks="${lacks.what}"]`) && this.editor.mends(lacks);
    if (mends) here.append(mends, " ");
    here.classList.toggle("warning", Boolean(warning));
    if (!warning) here.closest(".field")?.querySelector(".input")?.setAttribute("aria-invalid", "true");
    here.closest("[data-card]")?.classList.add(warning ? "doubtful" : "bad");
  }

  /** Goes to where a problem is said; answers whether there is such a place. */
  focusProblem(path) {
    const here = this.placeOf(path);
    const around = here?.closest(".field, .condition, [data-card], .begins");
    around?.querySelector("input, textarea, select, .fold")?.focus({ preventScroll: true });
    around?.scrollIntoView({ block: "center", behavior: "smooth" });
    return Boolean(around);
  }
}
