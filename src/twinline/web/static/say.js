// What is said by filling in a dialog: a place, contacts, buttons, a list, a link, a form. A field's name is its path in
// Meta's object, so most of a message is put together by the names alone.

import { ask, fragment, toast } from "./app.js";

function put(object, path, value) {
  const steps = path.split(".");
  const last = steps.pop();
  let here = object;
  for (const step of steps) here = here[step] ??= {};
  here[last] = value;
}

/** Ids that a program can read, no two alike: what comes back when somebody taps. */
function namer() {
  const used = new Set();
  return (title) => {
    const base = title.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "choice";
    let id = base;
    for (let n = 2; used.has(id); n += 1) id = `${base}-${n}`;
    used.add(id);
    return id;
  };
}

const filled = (form, name) => [...form.querySelectorAll(`[name="${name}"]`)].map((input) => input.value.trim()).filter(Boolean);

/** An interactive message: what all have in common, and what is named by its path. */
function interactive(form, type, action) {
  const content = { type, action };
  for (const input of form.querySelectorAll("[name]")) {
    const { name } = input;
    const value = input.value.trim();
    if (value && /^(header|body|footer|action)\./.test(name)) put(content, name, value);
  }
  if (content.header) content.header.type = "text";
  return { type: "interactive", content };
}

const MAKERS = {
  location(form) {
    const [latitude, longitude] = form.elements.coordinates.value.match(/-?\d+(?:[.,]\d+)?/g).map((part) => Number(part.replace(",", ".")));
    const content = { latitude, longitude };
    for (const name of ["name", "address"]) if (form.elements[name].value.trim()) content[name] = form.elements[name].value.trim();
    return { type: "location", content };
  },
  contacts(form) {
    const contacts = [...form.querySelectorAll("[name=card]:checked")].map((box) => JSON.parse(box.value));
    const [name] = filled(form, "typed.name");
    const [phone] = filled(form, "typed.phone");
    if (name || phone) contacts.push({ name: { formatted_name: name ?? phone, first_name: name ?? phone }, ...(phone && { phones: [{ phone }] }) });
    return { type: "contacts", content: { contacts } };
  },
  button(form) {
    const id = namer();
    const buttons = filled(form, "title").map((title) => ({ type: "reply", reply: { id: id(title), title } }));
    return interactive(form, "button", { buttons });
  },
  list(form) {
    const id = namer();
    const sections = [];
    for (const part of form.querySelector("[data-rows]").children) {
      const section = part.querySelector("[name=section]");
      if (section) sections.push({ title: section.value.trim(), rows: [] });
      else {
        if (!sections.length) sections.push({ rows: [] });
        const title = part.querySelector("[name=title]").value.trim();
        const description = part.querySelector("[name=description]").value.trim();
        sections.at(-1).rows.push({ id: id(title), title, ...(description && { description }) });
      }
    }
    return interactive(form, "list", { sections });
  },
  cta_url: (form) => interactive(form, "cta_url", { name: "cta_url" }),
  flow(form) {
    const message = interactive(form, "flow", { name: "flow" });
    const { parameters } = message.content.action;
    parameters.flow_message_version = "3";
    parameters.mode = form.elements.draft.checked ? "draft" : "published";
    if (parameters.flow_action_payload) parameters.flow_action = "navigate";
    return message;
  },
};

export class Dialogs {
  constructor(root, composer) {
    this.composer = composer;
    const { signal } = composer.thread.off;
    this.dialogs = Object.fromEntries([...root.querySelectorAll("dialog.say")].map((dialog) => [dialog.dataset.say, dialog]));
    for (const dialog of Object.values(this.dialogs)) {
      dialog.addEventListener("submit", (event) => { event.preventDefault(); this.send(dialog); }, { signal });
      dialog.addEventListener("input", () => this.count(dialog), { signal });
      dialog.addEventListener("click", (event) => this.clicked(event, dialog), { signal });
      dialog.addEventListener("close", () => composer.focus(), { signal });
    }
    const search = this.dialogs.contacts.querySelector("[data-people]");
    let typing;
    search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => this.people(search), 160); }, { signal });
  }

  open(kind) {
    const dialog = this.dialogs[kind];
    const rows = dialog.querySelector("[data-rows]");
    if (rows && !rows.children.length) this.add(dialog, "row");
    if (kind === "contacts") this.people(dialog.querySelector("[data-people]"));
    this.count(dialog);
    dialog.showModal();
    dialog.querySelector("input, textarea").focus();
  }

  clicked(event, dialog) {
    const { target } = event;
    const add = target.closest("[data-add]");
    if (target.closest("[data-close]") || target === dialog) dialog.close();
    else if (add) this.add(dialog, add.dataset.add).querySelector("input").focus();
    else if (target.closest("[data-drop]")) {
      target.closest(".list-part").remove();
      this.count(dialog);
    } else if (target.closest("[data-here]")) this.here(dialog);
  }

  add(dialog, what) {
    const rows = dialog.querySelector("[data-rows]");
    rows.append(dialog.querySelector(`template[data-a=${what}]`).content.cloneNode(true));
    this.count(dialog);
    return rows.lastElementChild;
  }

  /** What is left of each field, and of the rows. */
  count(dialog) {
    for (const left of dialog.querySelectorAll(".left")) {
      const input = left.closest("label").querySelector(".input");
      left.textContent = `${input.value.length}/${input.maxLength}`;
      left.classList.toggle("full", input.value.length >= input.maxLength);
    }
    const list = dialog.querySelector(".rows-of");
    if (!list) return;
    const rows = list.querySelectorAll("[data-rows] [name=title]").length;
    list.querySelector("legend output").textContent = `${rows} of ${list.dataset.most}`;
    list.querySelector("[data-add=row]").disabled = rows >= Number(list.dataset.most);
  }

  here(dialog) {
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => { dialog.querySelector("[name=coordinates]").value = `${coords.latitude.toFixed(6)}, ${coords.longitude.toFixed(6)}`; },
      () => toast("The browser doesn't tell where this is.", "danger"),
    );
  }

  /** Those who are chosen stay, whatever is searched for next. */
  async people(search) {
    const box = search.closest("dialog").querySelector(".people");
    try {
      const { text } = await ask(`${search.dataset.people}?${new URLSearchParams({ q: search.value.trim() })}`);
      const chosen = [...box.querySelectorAll("label")].filter((label) => label.querySelector(":checked"));
      const known = new Set(chosen.map((label) => label.querySelector("input").value));
      const found = [...fragment(text).children].filter((label) => !known.has(label.querySelector("input")?.value));
      box.replaceChildren(...chosen, ...found);
    } catch (error) {
      toast(error.message, "danger");
    }
  }

  async send(dialog) {
    const form = dialog.querySelector("form");
    const { type, content } = MAKERS[dialog.dataset.say](form);
    const said = JSON.stringify(content);
    // The same tried again is the same message, also if the first try arrived after all.
    if (dialog.said !== said) Object.assign(dialog, { said, key: crypto.randomUUID() });
    const refused = dialog.querySelector(".refused");
    const button = form.querySelector("footer .primary");
    refused.replaceChildren();
    button.disabled = true;
    try {
      await this.composer.post({ key: dialog.key, type, content: said, quoted: this.composer.quoted.value });
    } catch (error) {
      if (error.status === 409) refused.replaceChildren(fragment(error.html));
      else refused.textContent = error.message;
      refused.scrollIntoView({ block: "nearest" });
      return;
    } finally {
      button.disabled = false;
    }
    dialog.said = null;
    form.reset();
    dialog.querySelector("[data-rows]")?.replaceChildren();
    dialog.close();
    this.composer.quote(null);
  }
}
