// What goes wrong on purpose: the faults that are armed, and the form that arms one.

import { clock, post } from "./api.js";
import { field, h, hm, icon, number, refill, toast, tried } from "./dom.js";

const EFFECTS = {
  fail: ["fail after a 200", ["code"]],
  error: ["are refused", ["code"]],
  http: ["get a bare 5xx", ["status", "done"]],
  slow: ["are done, answered late", ["seconds"]],
  late: ["wait, are done then", ["seconds"]],
  no_answer: ["are done, never answered", ["seconds"]],
  half_answer: ["are done, half answered", []],
  lost: ["aren't done, never answered", ["seconds"]],
};
const CODES = {
  1: "unknown", 2: "service down", 4: "too many calls", 100: "invalid parameter", 190: "token invalid", 368: "blocked for policy", 80007: "calls of the WABA used up",
  130429: "too fast", 130472: "experiment", 130497: "country not allowed", 131000: "something went wrong", 131016: "unavailable", 131026: "undeliverable", 131031: "account locked",
  131037: "display name not approved", 131042: "payment", 131045: "certificate", 131047: "window closed", 131048: "spam limit", 131049: "not delivered, engagement", 131050: "opted out",
  131053: "media upload", 131056: "too fast to one person", 131057: "maintenance", 131064: "misclassified templates", 132000: "number of parameters", 132001: "no such template",
  132015: "template paused", 132016: "template disabled", 132068: "flow blocked", 133010: "not registered", 133016: "registrations", 134101: "template syncing", 135000: "generic", 137000: "identity changed",
};
const EDGES = { messages: "Sends", media: "Uploads", any: "Every call" };

const input = (name, attributes) => h("input", { name, autocomplete: "off", ...attributes });
const option = ([value, label]) => h("option", { value }, label);

/** Draws the card. */
export function drawFaults(element, { delivery, faults, phones }) {
  const set = tried((body) => post("/control/delivery", body));
  const check = (label, checked, work) => h("label", { class: "check" }, h("input", { type: "checkbox", checked, onchange: ({ target }) => work(target.checked) }), label);
  refill(
    element,
    h(
      "div",
      { class: "stack" },
      h("h2", {}, "What goes wrong"),
      check("Webhooks come twice, half of them", delivery.duplicate > 0, (on) => set({ duplicate: on ? 0.5 : 0 })),
      check("Webhooks come out of order", delivery.shuffle, (on) => set({ shuffle: on })),
      check("Webhooks are held back", delivery.paused, (on) => set({ paused: on })),
      form(phones),
      faults.length > 0 && h("h3", {}, "Armed"),
      faults.map((fault) => armed(fault, phones)),
    ),
  );
}

function armed(fault, phones) {
  const hits = fault.struck > 0 && h("small", {}, `struck ${fault.struck}×`);
  const remove = tried(() => post(`/control/faults/${fault.id}`, {}, "DELETE"));
  return h("p", { class: "fault" }, h("span", {}, said(fault, phones), hits), h("button", { type: "button", "aria-label": "Remove", onclick: remove }, icon("close")));
}

/** A fault in words: "5 % of sends fail after a 200, 131049". */
function said(fault, phones) {
  const [does, of] = EFFECTS[fault.effect];
  const what = (EDGES[fault.edge] ?? `calls of ${fault.edge}`).toLowerCase();
  const share = fault.probability < 1 && `${+(100 * fault.probability).toFixed(2)} %`;
  const often = fault.times === null ? (share ? `${share} of` : "All") : `Next ${fault.times}${share ? ` of ${share}` : ""}:`;
  const phone = phones.find(({ id }) => id === fault.phone);
  return [
    [often, what, fault.to && `to ${/^\d+$/.test(fault.to) ? number(fault.to) : fault.to}`, fault.phone && `from ${phone?.name ?? fault.phone}`, fault.template && `of ${fault.template}`, fault.path && `at …${fault.path}…`, does].filter(Boolean).join(" "),
    of.includes("code") && `${fault.code}${CODES[fault.code] ? ` ${CODES[fault.code]}` : ""}`,
    of.includes("status") && `${fault.status}, ${fault.done ? "done" : "not done"}`,
    of.includes("seconds") && `${fault.seconds} s`,
    fault.skip > 0 && `after ${fault.skip} more`,
    fault.until && (fault.until > clock.now() ? `until ${hm(fault.until)}` : "over"),
  ].filter(Boolean).join(", ");
}

function form(phones) {
  const effect = h("select", { name: "effect" }, Object.entries(EFFECTS).map(([value, [label]]) => option([value, label])));
  const parts = {
    code: field("Code", input("code", { type: "number", value: 131026, list: "codes", required: true })),
    status: field("HTTP status", input("status", { type: "number", min: 400, max: 599, value: 503 })),
    seconds: field("After seconds", input("seconds", { type: "number", min: 0, step: "any", value: 30 })),
    done: field("Carried out", h("select", { name: "done" }, [["", "no"], ["1", "yes"]].map(option))),
  };
  const follow = () => Object.entries(parts).forEach(([name, part]) => (part.hidden = !EFFECTS[effect.value][1].includes(name)));
  effect.addEventListener("change", follow);
  follow();
  const made = h(
    "form",
    { class: "stack arm" },
    h("h3", {}, "Arm a fault"),
    h(
      "div",
      { class: "form-grid" },
      field("What happens", effect),
      Object.values(parts),
      field("How many", input("times", { type: "number", min: 1, value: 1, placeholder: "all" }), "empty: until removed"),
      field("Chance, %", input("chance", { type: "number", min: 0, max: 100, step: "any", value: 100 }), "the same people each time"),
    ),
    h(
      "details",
      { class: "more" },
      h("summary", {}, "Only some of them"),
      h(
        "div",
        { class: "form-grid" },
        field("Which calls", h("select", { name: "edge" }, Object.entries(EDGES).map(option))),
        field("To", input("to", { placeholder: "anybody" })),
        field("From", h("select", { name: "phone" }, [["", "any number"], ...phones.map(({ id, name }) => [id, name])].map(option))),
        field("Template", input("template", { placeholder: "any" })),
        field("Part of the path", input("path", { placeholder: "any" })),
        field("Let pass first", input("skip", { type: "number", min: 0, value: 0 })),
        field("For minutes", input("minutes", { type: "number", min: 0, step: "any", placeholder: "no end" })),
      ),
    ),
    h("datalist", { id: "codes" }, Object.entries(CODES).map(option)),
    h("button", { class: "button small", type: "submit" }, "Arm"),
  );
  made.addEventListener("reset", () => setTimeout(follow));
  made.addEventListener(
    "submit",
    tried(async (event) => {
      event.preventDefault();
      await post("/control/faults", wanted(Object.fromEntries(new FormData(made))));
      made.reset();
      toast("Armed");
    }),
  );
  return made;
}

function wanted({ effect, times, chance, minutes, ...given }) {
  const body = { effect, times: times ? Number(times) : null, probability: Number(chance || 100) / 100 };
  for (const name of ["code", "status", "seconds", "skip"]) if (given[name]) body[name] = Number(given[name]);
  for (const name of ["edge", "to", "phone", "template", "path"]) if (given[name]) body[name] = given[name].trim();
  if (given.done) body.done = true;
  if (minutes) body.lasts = 60 * Number(minutes);
  return body;
}
