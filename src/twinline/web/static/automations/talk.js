// "Try it": a conversation with a simulated customer. The server plays; the state of the play stands here.

import { ask, fragment, toast } from "../app.js";
import { h, icon } from "./draw.js";
import { keyOf } from "./model.js";

export class Talk {
  constructor(root, editor, clock) {
    this.root = root;
    this.editor = editor;
    this.address = root.dataset.address;
    this.log = root.querySelector(".talk-log");
    this.form = root.querySelector("form[data-says]");
    this.at = root.querySelector("#talk-at");
    this.state = null;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const box = this.form.elements.text;
      if (!box.value.trim()) return;
      this.play({ said: box.value.trim() });
      box.value = "";
    });
    root.querySelector("form[data-waits]").addEventListener("submit", (event) => {
      event.preventDefault();
      const { amount, unit } = event.target.elements;
      this.play({ passed: `${amount.value}${unit.value}` });
    });
    this.at.addEventListener("change", () => this.moved());
    root.addEventListener("click", (event) => {
      const press = event.target.closest("[data-choice]");
      const act = event.target.closest("[data-play]");
      if (press && !press.disabled) this.play({ choice: press.dataset.choice, title: press.dataset.title });
      else if (act?.dataset.play === "again") this.again();
      else if (act) this.play(JSON.parse(act.dataset.play));
    });
    this.tick(clock);
  }

  /** What its triggers let one do beside writing. */
  begins(ones) {
    this.root.querySelector("#talk-begins").replaceChildren(...ones.map((one) =>
      h("button", { type: "button", class: "chip", "data-play": JSON.stringify(one.play) }, icon(one.icon), ` ${one.says}`)));
  }

  /** What the clock of the number says. */
  tick({ at, zone, open, number }) {
    this.now = at;
    this.at.value = at;
    this.root.querySelector("#talk-zone").textContent = zone.replaceAll("_", " ");
    const badge = this.root.querySelector("#talk-open");
    badge.hidden = number === null;
    badge.className = `badge ${open ? "ok" : open === false ? "warn" : ""}`;
    badge.replaceChildren(open === null ? h("a", { href: `/numbers/${number}/automations`, title: "It counts as always open" }, "no business hours") : open ? "open" : "closed");
  }

  /** Another moment was chosen: a later one comes, an earlier one is a new beginning. */
  async moved() {
    const { value } = this.at;
    if (!value) {
      this.at.value = this.now;
      return;
    }
    if (this.state && value >= this.now) {
      await this.play({ until: value });
      return;
    }
    this.begin();
    this.began = value;
    await this.look();
  }

  /** Asks what the clock says in the beginning; what is played next waits for it. */
  look() {
    this.looking = this.ask({ look: true }).then((said) => {
      if (said) this.tick(said.clock);
      else this.began = undefined;
    });
    return this.looking;
  }

  begin() {
    this.state = null;
    this.log.replaceChildren();
    this.root.classList.remove("asks");
    this.mark(null);
  }

  async again() {
    this.begin();
    this.form.elements.text.focus();
    await this.look();
  }

  async play(given) {
    await this.looking;
    if (this.playing) return;
    this.playing = true;
    const answer = await this.ask({ state: this.state, ...given });
    this.playing = false;
    if (!answer) return;
    this.state = answer.state;
    for (const old of this.log.querySelectorAll("[data-choice]")) old.disabled = true;
    this.log.append(fragment(answer.html));
    this.log.scrollTop = this.log.scrollHeight;
    this.root.classList.toggle("asks", Boolean(answer.state.request));
    this.mark(answer.cursor);
    this.tick(answer.clock);
  }

  async ask(given) {
    this.root.classList.add("playing");
    try {
      const { text } = await ask(this.address, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ definition: this.editor.doc, at: this.began, ...given }),
      });
      return JSON.parse(text);
    } catch (error) {
      toast(error.message, "danger");
      this.at.value = this.now;
      return null;
    } finally {
      this.root.classList.remove("playing");
    }
  }

  /** The step that the conversation stands at, shown in the flow. */
  mark(path) {
    for (const card of document.querySelectorAll(".step.at")) card.classList.remove("at");
    if (path) document.querySelector(`[data-card="${CSS.escape(keyOf(path))}"]`)?.classList.add("at");
  }
}
