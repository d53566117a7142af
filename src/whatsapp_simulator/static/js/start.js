// The operator's start page: what runs here, the clock, the switches, and what passes by.

import { clock, get, listen, post, soon } from "./api.js";
import { ask, avatar, field, fill, full, h, hms, icon, number, reconcile, refill, toast, tried } from "./dom.js";
import { drawFaults } from "./faults.js";
import { drawLimits } from "./limits.js";
import { drawPace } from "./pace.js";
import { badges } from "./people.js";

const HOUR = 3600;
const COEXISTENCE = { setup: {}, featureType: "whatsapp_business_app_onboarding", sessionInfoVersion: "3" };
const SHOWN = 100;
const $ = (id) => document.getElementById(id);

let state = null;
let people = [];
let last = null;

const button = (label, work, on = false) => h("button", { class: on ? "button small on" : "button small", type: "button", onclick: tried(work) }, label);

// ---- phones, customers, clock -------------------------------------------------------------------------------------

const STATES = { app_only: ["Not connected", "plain"], connected: ["Connected", "good"], offboarded: ["Offboarded", "warn"], disconnected: ["Disconnected", "plain"], cloud_only: ["No app", "warn"] };

function phones() {
  const rows = state.phones.map((phone) => {
    const [label, tone] = phone.pending_session ? ["Asked to connect", "warn"] : STATES[phone.state];
    return h("a", { class: "person-row", href: `/phone/${phone.id}` }, avatar(phone.name), h("span", {}, h("b", {}, phone.name), h("small", {}, number(phone.number))), h("span", { class: `pill ${tone}` }, label), icon("forward"));
  });
  fill($("phones"), h("header", {}, h("h2", {}, "Phones"), button("New phone", newPhone)), rows);
}

async function newPhone() {
  const given = await ask({
    title: "New phone",
    text: "A number with the WhatsApp Business App on it, and a past.",
    fields: [field("Name of the business", h("input", { name: "name", value: "Librería Sol", required: true, autocomplete: "off" })), field("Number", h("input", { name: "number", inputmode: "tel", placeholder: "drawn if empty", autocomplete: "off" })), field("Messages in its past", h("input", { name: "messages", type: "number", min: 0, max: 200000, value: 500 })), field("People in its past", h("input", { name: "contacts", type: "number", min: 0, max: 2000, value: 12 }))],
    yes: "Create",
  });
  if (!given) return;
  const made = await post("/control/phones", { name: given.name, ...(given.number && { number: given.number }), messages: Number(given.messages), contacts: Number(given.contacts) });
  location.assign(`/phone/${made.id}`);
}

function customers() {
  fill(
    $("people"),
    h("header", {}, h("h2", {}, "Customers"), h("a", { href: "/customers" }, `All ${people.length}`)),
    people.slice(0, 4).map((one) => h("a", { class: "person-row", href: `/customer/${one.id}` }, avatar(one.name), h("span", {}, h("b", {}, one.name), h("span", { class: "badges" }, badges(one))), icon("forward"))),
  );
}

const face = h("p", { class: "time" });

function clockCard() {
  const move = (advance) => () => post("/control/clock", { advance });
  fill(
    $("clock"),
    h("div", { class: "stack" }, h("h2", {}, "Clock"), face, h("div", { class: "buttons" }, button("+1 h", move(HOUR)), button("+25 h", move(25 * HOUR)), button("+8 days", move(8 * 24 * HOUR)), button("+14 days", move(14 * 24 * HOUR)), button("Set …", setClock), button("Back to real", () => post("/control/clock", { advance: -clock.offset })))),
  );
  tick();
}

/** To a time that somebody names, in the time zone of this browser. */
async function setClock() {
  const here = new Date((clock.now() - new Date().getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 16);
  const given = await ask({ title: "Set the clock", text: "Windows, prices, limits and reviews go by it; the pauses between statuses stay real.", fields: [field("Date and time", h("input", { name: "at", type: "datetime-local", value: here, required: true }))], yes: "Set" });
  if (given) await post("/control/clock", { advance: new Date(given.at).getTime() / 1000 - clock.now() });
}

function tick() {
  const hours = Math.round(clock.offset / 360) / 10;
  fill(face, full(clock.now()), h("small", {}, hours ? `${Math.abs(hours)} hours ${hours > 0 ? "ahead of" : "behind"} real time` : "Real time"));
}

// ---- addresses and signup -----------------------------------------------------------------------------------------

function addresses() {
  const { app } = state;
  const rows = { "Graph API": `${location.origin}/v26.0`, "Signup script, instead of Facebook's SDK": `${location.origin}/sdk.js`, "App id": app.id, "App secret": app.secret, "Verify token": app.verify_token, "Configuration id": app.config_id };
  const url = h("input", { name: "url", type: "url", value: app.callback_url ?? "", placeholder: "http://127.0.0.1:8000/webhook", "aria-label": "Webhook address", autocomplete: "off" });
  const save = tried(async (event) => {
    event.preventDefault();
    await post("/control/app", { callback_url: url.value || null });
    url.defaultValue = url.value;
    toast("Webhooks go there now");
  });
  const copy = (text) => navigator.clipboard?.writeText(text).then(() => toast("Copied"), () => {});
  refill(
    $("addresses"),
    h(
      "div",
      { class: "stack" },
      h("h2", {}, "Addresses"),
      Object.entries(rows).map(([name, value]) => h("div", { class: "address" }, h("span", {}, name), h("code", { title: value }, value), h("button", { type: "button", "aria-label": `Copy ${name}`, onclick: () => copy(value) }, icon("copy")))),
      h("form", { class: "stack", onsubmit: save }, field("Webhooks go to", h("div", { class: "inline" }, url, h("button", { class: "button small", type: "submit" }, "Save")))),
      h("p", { class: "target", id: "target" }),
    ),
  );
  target();
}

/** What became of the last webhook. */
function target() {
  const element = $("target");
  if (!element) return;
  const { delivery, app } = state;
  const waiting = delivery.waiting > 0 && h("span", { class: "pill plain" }, `${delivery.waiting} waiting`);
  if (!app.callback_url) return fill(element, h("span", { class: "pill warn" }, "No address"), "Webhooks are dropped.");
  if (!last) return fill(element, waiting, "Nothing was delivered yet.");
  const good = last.status >= 200 && last.status < 300;
  return fill(element, h("span", { class: good ? "pill good" : "pill bad" }, last.status || "No answer"), `Last delivery ${hms(last.at)}, ${last.fields.join(", ")}`, waiting);
}

const heard = h("pre", { class: "heard", hidden: true });

/** The popup without a platform: what it says and hands over is shown here. */
function signup() {
  const open = () => {
    heard.hidden = false;
    heard.textContent = "Waiting for the popup …";
    window.FB.login((answer) => (heard.textContent += `\ncode ${answer.authResponse?.code ?? "none"}`), { config_id: state.app.config_id, response_type: "code", override_default_response_type: true, extras: COEXISTENCE });
  };
  fill($("signup"), h("div", { class: "stack" }, h("h2", {}, "Connect a number"), h("p", { class: "note" }, "A platform opens this popup with FB.login. Try it here; then exchange the code within 30 seconds."), h("div", { class: "buttons" }, button("Open the signup popup", open)), heard));
}

addEventListener("message", ({ origin, data }) => {
  if (origin === location.origin && typeof data === "string") heard.textContent = data;
});

// ---- behaviour ----------------------------------------------------------------------------------------------------

function behaviour() {
  const { options } = state;
  const set = tried((body) => post("/control/options", body));
  const check = (key, label) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: options[key], onchange: (event) => set({ [key]: event.target.checked }) }), label);
  const choice = (key, label, values) => field(label, h("select", { onchange: (event) => set({ [key]: event.target.value }) }, Object.entries(values).map(([value, name]) => h("option", { value, selected: value === options[key] }, name))));
  refill(
    $("behaviour"),
    h(
      "div",
      { class: "stack" },
      h("h2", {}, "How Meta behaves"),
      check("auto_deliver", "Messages are delivered at once"),
      check("auto_read", "Customers read everything"),
      check("product_ticked", "Configuration has coexistence ticked (v4)"),
      check("app_statuses", "Statuses for messages from the phone"),
      choice("window_error", "A send outside the window", { async: "is accepted, then fails", sync: "is refused at once" }),
      choice("unknown_recipients", "A send to a stranger", { undeliverable: "is accepted, then fails", create: "makes a customer" }),
      h("div", { class: "buttons" }, button("Start over …", startOver)),
    ),
  );
}

async function startOver() {
  const given = await ask({ title: "Start over?", text: "Every chat, connection and token goes, and a first phone and its customers are made again.", fields: [field("People", h("input", { name: "contacts", type: "number", min: 0, value: 40 })), field("Messages in the past", h("input", { name: "messages", type: "number", min: 0, value: 2000 }))], yes: "Start over", danger: true });
  if (given) await post("/control/reset", { contacts: Number(given.contacts), messages: Number(given.messages) });
}

// ---- what passes by -----------------------------------------------------------------------------------------------

const seen = { requests: [], deliveries: [] };
const json = (value) => JSON.stringify(value, null, 2);
const pretty = (text) => {
  try {
    return json(JSON.parse(text));
  } catch {
    return text;
  }
};
const tone = (status) => (status >= 200 && status < 300 ? "pill good" : "pill bad");

const FILTERS = { "": "Everything", "path=/messages&method=post": "Sends", "refused=1": "Refused", "spoiled=1": "Spoiled by a fault" };
let filter = "";

function filters() {
  const choose = ({ target }) => {
    filter = target.value;
    seen.requests = [];
    lines("requests", [], requestLine);
    $("all").href = `/control/log.ndjson?${filter}`;
    passing();
  };
  fill($("filter"), h("select", { "aria-label": "Which requests", onchange: choose }, Object.entries(FILTERS).map(([value, name]) => h("option", { value }, name))), h("a", { id: "all", href: "/control/log.ndjson", download: "requests.ndjson" }, "Download all"));
}

async function newest(kind, path, query = "") {
  const since = seen[kind][0]?.seq ?? 0;
  const found = (await get(`${path}?since=${since}&limit=${SHOWN}&bodies=1&${query}`))[kind];
  if (kind === "requests" && query !== filter) return; // another one was chosen meanwhile
  seen[kind] = [...found.reverse(), ...seen[kind]].slice(0, SHOWN);
}

/** The second and its thousandths: what pacing is looked at by. */
const precise = (at) => `${hms(at)}.${String(Math.floor((at % 1) * 1000)).padStart(3, "0")}`;

function requestLine({ one }) {
  const body = () => [one.body && [h("b", {}, "Asked"), `\n${json(one.body)}\n`], one.query && Object.keys(one.query).length > 0 && [h("b", {}, "Query"), `\n${json(one.query)}\n`], h("b", {}, "Answered"), `\n${json(one.answer)}`];
  return details(h("summary", {}, h("time", {}, precise(one.at)), h("span", { class: "pill plain" }, one.method), h("code", {}, one.path, one.to && ` → ${one.to}`), h("span", { class: tone(one.status) }, one.status || "none", one.code ? ` · ${one.code}` : "", one.fault && ` · ${one.fault === "error" ? "by fault" : one.fault.replace("_", " ")}`), h("span", { class: "ms" }, `${one.ms} ms`)), body);
}

function deliveryLine({ one }) {
  const marks = [one.attempt > 1 && `attempt ${one.attempt}`, one.duplicate && "duplicate"].filter(Boolean).join(", ");
  return details(
    h("summary", {}, h("time", {}, hms(one.at)), h("span", { class: "pill plain" }, `${one.changes}×`), h("code", {}, one.fields.join(", "), marks && ` · ${marks}`), h("span", { class: tone(one.status) }, one.status || "none"), h("span", { class: "ms" }, `${one.ms} ms`)),
    () => [h("b", {}, one.url), `\n${one.body ? pretty(one.body) : `${one.size} bytes, too many to keep`}`],
  );
}

/** A line that opens; what is inside is made when it does. */
function details(summary, inside) {
  const element = h("details", { class: "line" }, summary);
  element.addEventListener("toggle", () => element.open && !element.querySelector("pre") && element.append(h("pre", {}, inside())));
  return element;
}

const lines = (id, list, make) => reconcile($(id), list.map((one) => ({ key: one.seq, signature: String(one.status), one })), make);

const passing = soon(async () => {
  await Promise.all([newest("requests", "/control/log", filter), newest("deliveries", "/control/deliveries"), drawPace($("paces"), state.phones)]);
  last = seen.deliveries[0] ?? null;
  lines("requests", seen.requests, requestLine);
  lines("deliveries", seen.deliveries, deliveryLine);
  state.delivery = await get("/control/delivery");
  const { delivered, dropped, failed, waiting } = state.delivery;
  $("counts").textContent = [`${delivered} delivered`, `${waiting} waiting`, failed && `${failed} refused`, dropped && `${dropped} dropped`].filter(Boolean).join(" · ");
  target();
});

// ---- life ---------------------------------------------------------------------------------------------------------

const refresh = soon(async () => {
  [state, { customers: people }] = await Promise.all([get("/control/state"), get("/control/customers")]);
  phones();
  customers();
  addresses();
  cards();
});

function cards() {
  drawFaults($("faults"), state);
  drawLimits($("limits"), state);
  behaviour();
}

await clock.read();
[state, { customers: people }] = await Promise.all([get("/control/state"), get("/control/customers")]);
for (const draw of [phones, customers, clockCard, addresses, signup, cards, filters]) draw();
passing();
setInterval(tick, 1000);
// The courier tells nobody of a delivery: it is looked for while the page is seen.
setInterval(() => document.visibilityState === "visible" && passing(), 1500);
listen(({ kind }) => {
  if (["phone", "session", "customer", "app", "options", "fault", "waba", "reload", "reset"].includes(kind)) refresh();
  if (kind === "reset") seen.requests = seen.deliveries = [];
  if (kind !== "typing") passing();
});
