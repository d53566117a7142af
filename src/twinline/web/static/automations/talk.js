// "Try it": a conversation with a simulated customer. The server plays; the state of the play stands here.

import { ask, fragment, toast } from "../app.js";
import { keyOf } from "./model.js";

export class Talk {
  constructor(root, editor) {
    this.root = root;
    this.editor = editor;
    this.address = root.dataset.address;
    this.log = root.querySelector(".talk-log");
    this.form = root.querySelector("form");
    this.state = null;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const box = this.form.elements.text;
      if (!box.value.trim()) return;
      this.play({ said: box.value.trim() });
      box.value = "";
    });
    root.addEventListener("click", (event) => {
      const press = event.target.closest("[data-choice]");
      const act = event.target.closest("[data-play]");
      if (press && !press.disabled) this.play({ choice: press.dataset.choice, title: press.dataset.title });
      else if (act?.dataset.play === "again") this.again();
      else if (act) {
        act.closest("details")?.removeAttribute("open");
        this.play(JSON.parse(act.dataset.play));
      }
    });
  }

  again() {
    this.state = null;
    this.log.replaceChildren();
    this.root.classList.remove("asks");
    this.mark(null);
    this.form.elements.text.focus();
  }

  async play(given) {
    if (this.playing) return;
    this.playing = true;
    this.root.classList.add("playing");
    try {
      const { text } = await ask(this.address, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ definition: this.editor.doc, state: this.state, ...given }),
      });
      const answer = JSON.parse(text);
      this.state = answer.state;
      for (const old of this.log.querySelectorAll("[data-choice]")) old.disabled = true;
      this.log.append(fragment(answer.html));
      this.log.scrollTop = this.log.scrollHeight;
      this.root.classList.toggle("asks", Boolean(answer.state.request));
      this.mark(answer.cursor);
    } catch (error) {
      toast(error.message, "danger");
    } finally {
      this.playing = false;
      this.root.classList.remove("playing");
    }
  }

  /** The step that the conversation stands at, shown in the flow. */
  mark(path) {
    for (const card of document.querySelectorAll(".step.at")) card.classList.remove("at");
    if (path) document.querySelector(`[data-card="${CSS.escape(keyOf(path))}"]`)?.classList.add("at");
  }
}
