// Everybody there is, and a form for one more.

import { get, listen, post, soon } from "./api.js";
import { avatar, field, h, icon, reconcile, toast, tried } from "./dom.js";
import { badges } from "./people.js";

let people = [];
const search = h("input", { type: "search", placeholder: "Name, number or username", "aria-label": "Search customers", autocomplete: "off", oninput: () => draw() });
const list = h("div", { class: "people" });
const none = h("p", { class: "note" }, "Nobody like that.");
document.getElementById("people").append(h("div", { class: "search" }, icon("search"), search), list, none);

function draw() {
  const wanted = search.value.trim().toLowerCase();
  const found = people.filter((one) => [one.name, one.number, one.username, `+${one.number}`].some((text) => text?.toLowerCase().includes(wanted)));
  reconcile(
    list,
    found.map((one) => ({ key: one.id, signature: JSON.stringify(one), one })),
    ({ one }) => h("a", { class: "person-row", href: `/customer/${one.id}` }, avatar(one.name), h("span", {}, h("b", {}, one.name), h("span", { class: "badges" }, badges(one))), h("small", {}, one.country), icon("forward")),
  );
  none.hidden = found.length > 0;
}

function form() {
  const hidden = h("input", { type: "checkbox", name: "hidden", disabled: true });
  const username = h("input", { name: "username", autocapitalize: "none", autocomplete: "off", placeholder: "none", oninput: () => ((hidden.disabled = !username.value), (hidden.checked &&= Boolean(username.value))) });
  const element = h(
    "form",
    { class: "stack" },
    field("Name", h("input", { name: "name", autocomplete: "off", placeholder: "drawn if empty" })),
    field("Number", h("input", { name: "number", inputmode: "tel", autocomplete: "off", placeholder: "drawn if empty" }), "Try +55 without its ninth digit, or +52 1"),
    field("Username", username),
    h("label", { class: "check" }, hidden, "Hide the number from businesses"),
    h("button", { class: "button", type: "submit" }, "Create"),
  );
  element.addEventListener(
    "submit",
    tried(async (event) => {
      event.preventDefault();
      const given = Object.fromEntries([...new FormData(element)].filter(([, value]) => value));
      const body = { name: given.name, number: given.number, username: given.username?.replace(/^@/, ""), phone_visible: !given.hidden };
      const made = await post("/control/customers", Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)));
      element.reset();
      toast(`${made.name} is there`);
      location.assign(`/customer/${made.id}`);
    }),
  );
  return element;
}

// On a phone's screen the list comes first, and the form opens when it's wanted.
document.getElementById("create").append(h("details", { open: matchMedia("(min-width: 761px)").matches }, h("summary", {}, h("h2", {}, "New customer"), icon("plus")), form()));
const refresh = soon(async () => {
  people = (await get("/control/customers")).customers;
  draw();
});
refresh();
listen(({ kind }) => ["customer", "reload", "reset"].includes(kind) && refresh());
