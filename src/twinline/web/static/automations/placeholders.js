// {{placeholders}}, offered from a menu and while typing.

import { h, menu } from "./draw.js";

/** All that may stand in a text here: [placeholder without braces, what it is]. */
export function offered(editor) {
  const { vars } = editor.known();
  return [
    ["contact.name|there", "Their name, or “there”"],
    ["contact.phone", "Their phone number"],
    ...editor.facts.fields.map(([key, label]) => [`contact.fields.${key}`, label]),
    ...vars.map((name) => [`vars.${name}`, `What was kept as ${name}`]),
    ["message.text", "What they wrote last"],
    ["number.name", "The name of your number"],
    ["now|date", "Today’s date"],
  ];
}

function put(input, text, from = input.selectionStart, to = input.selectionEnd) {
  input.setRangeText(text, from, to, "end");
  input.focus();
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

export function insertMenu(input, editor) {
  const entries = offered(editor).map(([name, words]) => ["plus", words, () => put(input, `{{${name}}}`)]);
  const details = menu("Insert something about them", entries, "braces");
  details.classList.add("placeholders");
  return details;
}

/** A list below the field while a placeholder is being typed. Arrows choose, Enter or Tab takes. */
export function complete(input, editor) {
  let list = null;
  let place = 0;
  let found = [];

  const close = () => {
    list?.remove();
    list = null;
    input.removeAttribute("aria-activedescendant");
  };
  const begun = () => /\{\{([\w.|]*)$/.exec(input.value.slice(0, input.selectionStart));
  const take = (index) => {
    const start = begun();
    if (!start) return close();
    const rest = /^\s*\}{0,2}/.exec(input.value.slice(input.selectionStart))[0].length;
    put(input, `{{${found[index][0]}}}`, start.index, input.selectionStart + rest);
    return close();
  };
  const show = () => {
    const start = begun();
    found = start ? offered(editor).filter(([name, words]) => `${name} ${words}`.toLowerCase().includes(start[1].toLowerCase())) : [];
    if (!found.length) return close();
    place = Math.min(place, found.length - 1);
    const fresh = h("ul", { class: "completions", role: "listbox", "aria-label": "Placeholders" }, found.map(([name, words], index) =>
      h("li", { role: "option", id: `${input.id}-c${index}`, "aria-selected": String(index === place), onmousedown: (event) => {
        event.preventDefault();
        take(index);
      } }, h("code", {}, `{{${name}}}`), h("span", {}, words))));
    if (list) list.replaceWith(fresh);
    else input.after(fresh);
    list = fresh;
    input.setAttribute("aria-activedescendant", `${input.id}-c${place}`);
    return undefined;
  };

  input.addEventListener("input", () => {
    place = 0;
    show();
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (!list) return;
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") place = (place + (key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
    else if (key === "Enter" || key === "Tab") take(place);
    else if (key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (list) show();
  });
}

