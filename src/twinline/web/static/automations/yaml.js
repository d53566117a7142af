// The same definition as YAML, to be read and written.

import { ask, toast } from "../app.js";
import { h } from "./draw.js";

export class Yaml {
  constructor(root, editor) {
    this.root = root;
    this.editor = editor;
    this.box = root.querySelector("textarea");
    this.gutter = root.querySelector(".gutter");
    this.list = root.querySelector(".yaml-problems");
    this.said = [];
    this.box.addEventListener("input", () => {
      this.lines();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.read(), 400);
    });
    this.box.addEventListener("scroll", () => { this.gutter.scrollTop = this.box.scrollTop; });
    this.box.addEventListener("keydown", (event) => {
      // Two spaces for Tab; Escape first, then Tab leaves the field.
      if (event.key === "Escape") this.leaving = true;
      else if (event.key === "Tab" && !event.shiftKey && !this.leaving) {
        event.preventDefault();
        this.box.setRangeText("  ", this.box.selectionStart, this.box.selectionEnd, "end");
        this.box.dispatchEvent(new Event("input"));
      } else if (event.key !== "Tab" && event.key !== "Shift") this.leaving = false;
    });
    this.list.addEventListener("click", (event) => {
      const line = Number(event.target.closest("[data-line]")?.dataset.line);
      if (line) this.go(line);
    });
  }

  /** Called with the flow's present state when this view is opened. */
  async open() {
    try {
      const { text } = await ask(`${this.root.dataset.address}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ definition: this.editor.doc }),
      });
      const { yaml, problems } = JSON.parse(text);
      this.box.value = yaml;
      this.show(problems);
      this.lines();
    } catch (error) {
      toast(error.message, "danger");
    }
  }

  async read() {
    this.reading?.abort();
    this.reading = new AbortController();
    try {
      const { text } = await ask(this.root.dataset.address, {
        method: "POST", signal: this.reading.signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ yaml: this.box.value }),
      });
      const { definition, problems } = JSON.parse(text);
      this.show(problems);
      if (!definition) return;
      this.editor.replace(definition);
      document.getElementById("name").value = definition.name ?? "";
      this.editor.changed("structure");
    } catch (error) {
      if (error.name !== "AbortError") toast(error.message, "danger");
    }
  }

  show(problems) {
    this.said = problems;
    this.list.replaceChildren(...problems.map(({ line, says, warning, where }) =>
      h("li", { class: warning ? "warn" : "fail" }, h("button", { type: "button", "data-line": String(line || 1) },
        h("strong", {}, line ? `Line ${line}` : "All of it"), h("span", {}, says), where && h("code", {}, where)))));
    this.root.classList.toggle("fine", !problems.length);
    this.lines();
  }

  lines() {
    const bad = new Map(this.said.map(({ line, warning }) => [line, warning]));
    const count = this.box.value.split("\n").length;
    this.gutter.replaceChildren(...Array.from({ length: count }, (_, index) =>
      h("span", { class: bad.has(index + 1) ? (bad.get(index + 1) ? "warn" : "fail") : "" }, String(index + 1))));
    this.gutter.scrollTop = this.box.scrollTop;
  }

  go(line) {
    const lines = this.box.value.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    this.box.focus();
    this.box.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
    this.box.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(this.box).lineHeight));
  }
}
