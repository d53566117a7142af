// Making a campaign. Keeping the form and drawing it anew is htmx's (see templates/campaigns/builder.html); here is only
// what happens between two answers of the server.

import "./countries.js";

const builder = document.getElementById("builder");

document.addEventListener("input", ({ target }) => {
  if (!target.dataset.search) return;
  const wanted = target.value.toLowerCase().split(/[\s_]+/).filter(Boolean);
  for (const found of document.querySelectorAll(target.dataset.search)) {
    const text = found.textContent.toLowerCase();
    found.hidden = !wanted.every((word) => text.includes(word));
  }
});

document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-closes]")) target.closest("dialog").close();
});

// What bears data-on="campaigns …" is drawn anew when such an event comes: at once, then at most once a second, and
// always after the last one (htmx's throttle leaves that out).
const PACE = 1000;
const waiting = new Map();

function refresh(id) {
  if (waiting.has(id)) return void waiting.set(id, true);
  const element = document.getElementById(id);
  if (!element) return undefined;
  waiting.set(id, false);
  element.dispatchEvent(new CustomEvent("refresh"));
  setTimeout(() => {
    const again = waiting.get(id);
    waiting.delete(id);
    if (again) refresh(id);
  }, PACE);
  return undefined;
}

for (const kind of ["campaigns", "messages", "outbox"]) {
  document.body.addEventListener(`live:${kind}`, () => {
    for (const { id } of document.querySelectorAll(`[data-on~="${kind}"]`)) refresh(id);
  });
}

if (builder) {
  const name = builder.querySelector("[data-select]");
  name?.addEventListener("focus", () => name.select(), { once: true });

  const picked = builder.querySelector(".pick-templates :checked")?.closest("label");
  if (picked) picked.parentNode.scrollTop = picked.offsetTop - picked.parentNode.offsetTop - 12;

  document.body.addEventListener("htmx:beforeRequest", ({ detail }) => {
    if (detail.requestConfig.verb !== "get") document.getElementById("saved").textContent = "Saving…";
  });
  document.body.addEventListener("htmx:sendError", () => {
    const saved = document.getElementById("saved");
    saved.textContent = "Not saved yet: Twinline can't be reached.";
    saved.classList.add("bad");
  });

  // The field lies over the whole frame, so a file may be let go anywhere in it.
  for (const kind of ["dragover", "dragleave", "drop"]) {
    builder.addEventListener(kind, ({ target }) => {
      target.closest("[data-drop]")?.classList.toggle("over", kind === "dragover");
    });
  }
}
