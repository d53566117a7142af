// What every page has: times in the reader's zone, toasts, the theme toggle, dialogs.

import "./times.js";

/** What is said again while it stands there stands there once. */
export function toast(text, tone = "") {
  const region = document.getElementById("toasts");
  for (const said of [...region.children]) if (said.textContent === text) said.remove();
  const note = document.createElement("div");
  note.className = `toast ${tone}`;
  note.textContent = text;
  region.append(note);
  setTimeout(() => note.remove(), tone === "danger" ? 8000 : 3500);
}

export const csrf = () => document.querySelector("meta[name=csrf]")?.content ?? "";

export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Fetches HTML from us. Throws with a sentence that a person can read; its ``status`` is 0 where no answer came. */
export async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, {
      ...options,
      headers: { "HX-Request": "true", "X-CSRF-Token": csrf(), ...options.headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error("Twinline can't be reached. Check your connection.", { cause: error }), { status: 0 });
  }
  if (response.status === 401) location.reload();
  const text = await response.text();
  if (!response.ok) {
    const failure = new Error(text.startsWith("<") || !text ? "That didn't work. Try once more." : text);
    failure.status = response.status;
    failure.html = text;
    throw failure;
  }
  return { text, response };
}

/** Whether the same may succeed in a moment. What an event has told of is told once, so it is asked for until then. */
export const passes = ({ status }) => status === 0 || status >= 500;
export const AGAIN = 3000;

/** Whether somebody is at a field of this, or has left something in one. */
export function filledIn(part) {
  const first = (options) => Math.max(0, [...options].findIndex((one) => one.defaultSelected));
  const changed = (field) => (field.options ? field.selectedIndex !== first(field.options) : field.value !== field.defaultValue);
  const fields = [...part.querySelectorAll("input:not([type=hidden]), select, textarea")];
  return fields.some((field) => field === document.activeElement || changed(field));
}

/** A part that couldn't be drawn anew when something happened. */
function tellAgain({ requestConfig: { elt, triggeringEvent } }) {
  const { type = "", detail } = triggeringEvent ?? {};
  const hearer = type.startsWith("live:") ? document.body : type === "refresh" && elt;
  if (hearer) setTimeout(() => hearer.dispatchEvent(new CustomEvent(type, { detail })), AGAIN);
}

// A part that keeps itself fresh waits while somebody writes in it.
document.body.addEventListener("htmx:beforeRequest", (event) => {
  const cause = event.detail.requestConfig.triggeringEvent?.type ?? "";
  if (cause.startsWith("live:") && filledIn(event.target)) event.preventDefault();
});

document.body.addEventListener("toast", (event) => toast(event.detail.value));
document.body.addEventListener("htmx:sendError", (event) => {
  toast("Twinline can't be reached. Check your connection.", "danger");
  tellAgain(event.detail);
});
document.body.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (passes({ status })) tellAgain(event.detail);
  // A session that ended answers with the log-in page or 401: show it instead of swapping it into a corner.
  if (status === 401) location.reload();
  else toast(status === 404 ? "That isn't there any more." : `That didn't work (${status}). Try again.`, "danger");
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.querySelector(opener.dataset.opens)?.showModal();

  if (event.target.closest("[data-theme-toggle]")) {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  }

  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

if (document.body.dataset.live !== undefined) {
  import("./live.js").then(({ listen, announce }) => listen(document.body.dataset.live, { event: announce }));
}
