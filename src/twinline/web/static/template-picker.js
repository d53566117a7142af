// Choosing a template in a chat. Opened by anything that bears data-open="templates".

import { ask, fragment, toast } from "./app.js";

let dialog;

document.addEventListener("click", (event) => {
  if (event.target.closest('[data-open="templates"]')) open();
});

async function open() {
  const address = document.getElementById("conversation")?.dataset.address;
  if (!address || dialog?.open) return;
  try {
    const { text } = await ask(`${address}/templates`);
    dialog?.remove();
    dialog = Object.assign(document.createElement("dialog"), { className: "dialog template-picker" });
    dialog.setAttribute("aria-labelledby", "picker-title");
    dialog.replaceChildren(fragment(text));
    dialog.addEventListener("click", clicked);
    dialog.addEventListener("input", typed);
    dialog.addEventListener("keydown", walked);
    dialog.addEventListener("submit", sent);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[data-pick-search]")?.focus();
  } catch (error) {
    toast(error.message, "danger");
  }
}

function clicked(event) {
  const pick = event.target.closest("[data-pick]");
  if (pick) choose(pick);
  else if (event.target.closest("[data-close-picker]")) dialog.close();
  else if (event.target.closest("[data-back-to-list]")) back();
}

function back() {
  dialog.classList.remove("has-pick");
  dialog.querySelector("[data-back-to-list]").hidden = true;
  dialog.querySelector("[data-pick-search]").focus();
}

async function choose(pick) {
  for (const other of dialog.querySelectorAll("[data-pick]")) other.removeAttribute("aria-current");
  pick.setAttribute("aria-current", "true");
  try {
    const { text } = await ask(pick.dataset.pick);
    const place = dialog.querySelector(".fill");
    place.replaceChildren(fragment(text));
    // One try at sending, however often it is pressed.
    place.querySelector("form").dataset.key = crypto.randomUUID();
    dialog.classList.add("has-pick");
    dialog.querySelector("[data-back-to-list]").hidden = false;
    (place.querySelector("input:not([type=file])") ?? place.querySelector("button")).focus();
  } catch (error) {
    toast(error.message, "danger");
  }
}

// ---- the list ----------------------------------------------------------------------------------------------------------

function search(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const pick of dialog.querySelectorAll("[data-pick]")) {
    const text = pick.textContent.toLowerCase().replaceAll("_", " ");
    const fits = wanted.every((word) => text.includes(word.replaceAll("_", " ")));
    pick.parentElement.hidden = !fits;
    left += fits ? 1 : 0;
  }
  dialog.querySelector("[data-pick-none]").hidden = left > 0;
}

/** Arrows walk the list, also from the search field. */
function walked(event) {
  if (!["ArrowDown", "ArrowUp"].includes(event.key) || !event.target.closest(".choose")) return;
  const picks = [...dialog.querySelectorAll("li:not([hidden]) > [data-pick]")];
  const here = picks.indexOf(document.activeElement);
  const next = here + (event.key === "ArrowDown" ? 1 : -1);
  event.preventDefault();
  (picks[next] ?? (next < 0 ? dialog.querySelector("[data-pick-search]") : picks.at(-1)))?.focus();
}

// ---- the values --------------------------------------------------------------------------------------------------------

let timer;
let drawing;

function typed(event) {
  if (event.target.matches("[data-pick-search]")) return search(event.target.value);
  clearTimeout(timer);
  timer = setTimeout(() => draw(event.target.form), 200);
  return undefined;
}

async function draw(form) {
  drawing?.abort();
  drawing = new AbortController();
  const body = new FormData(form);
  for (const name of [...body.keys()]) if (name.startsWith("file.")) body.delete(name);
  try {
    const { text } = await ask(form.dataset.preview, { method: "POST", body, signal: drawing.signal });
    form.querySelector("[data-pick-preview]").replaceChildren(fragment(text));
    picture(form);
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "danger");
  }
}

/** The file that was chosen, in place of the template's own. */
function picture(form) {
  const file = form.querySelector('input[type=file][name^="file.header"]')?.files[0];
  const frame = form.querySelector(".wa-media.image");
  if (!file || !frame) return;
  const image = Object.assign(new Image(), { src: URL.createObjectURL(file), alt: "The header's image" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  frame.replaceChildren(image);
}

async function sent(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector(".send-bar .button");
  const body = new FormData(form);
  body.append("key", form.dataset.key);
  body.append("zone", new Date().getTimezoneOffset());
  button.disabled = true;
  try {
    await ask(form.dataset.send, { method: "POST", body });
    dialog.close();
    toast("On its way");
  } catch (error) {
    const place = form.querySelector("[data-refused]");
    if (error.status === 409) place.replaceChildren(fragment(error.html));
    else toast(error.message, "danger");
    place.scrollIntoView({ block: "nearest" });
    button.disabled = false;
  }
}
