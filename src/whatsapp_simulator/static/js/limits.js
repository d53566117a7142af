// Meta's limits and prices, as they can be set by hand.

import { post } from "./api.js";
import { field, h, refill, tried } from "./dom.js";

const ZONES = ["America/Los_Angeles", "America/New_York", "America/Mexico_City", "America/Bogota", "America/Sao_Paulo", "Europe/London", "Europe/Madrid", "Asia/Kolkata", "Asia/Dubai"];

/** Draws the card. */
export function drawLimits(element, { options, wabas, phones }) {
  const set = tried((body) => post("/control/options", body));
  const check = (label, checked, work) => h("label", { class: "check" }, h("input", { type: "checkbox", checked, onchange: ({ target }) => work(target.checked) }), label);
  const amount = (key, label, hint) => {
    const saved = ({ target }) => set({ [key]: target.value === "" ? null : Number(target.value) });
    return field(label, h("input", { type: "number", min: 0, value: options[key] ?? "", placeholder: "as Meta", onchange: saved }), hint);
  };
  refill(
    element,
    h(
      "div",
      { class: "stack" },
      h("h2", {}, "Limits and prices"),
      h(
        "div",
        { class: "form-grid even" },
        amount("throughput", "Messages a second", "20 with the app, else 80"),
        amount("hourly_calls", "Calls of a WABA an hour", "5,000, or 200"),
        amount("free_service", "Free replies a month"),
        amount("entry_point_hours", "Free after an ad, hours"),
      ),
      check("One message per 6 s to one person", options.pair_limit, (on) => set({ pair_limit: on })),
      check("… and silence after a burst", options.pair_silence, (on) => set({ pair_silence: on })),
      wabas.map((waba) => account(waba, phones.filter(({ waba_id }) => waba_id === waba.id), check, wabas.length === 1)),
      h("datalist", { id: "zones" }, ZONES.map((zone) => h("option", { value: zone }))),
    ),
  );
}

function account(waba, phones, check, open) {
  const set = tried((body) => post(`/control/wabas/${waba.id}`, body));
  const counted = phones.map(({ name, service_count }) => `${service_count} replies this month${phones.length > 1 ? ` by ${name}` : ""}`);
  return h(
    "details",
    { class: "account", open },
    h("summary", {}, h("b", {}, waba.name), !waba.payment_method && h("span", { class: "pill warn" }, "can't pay")),
    check("Has a payment method", waba.payment_method, (on) => set({ payment_method: on })),
    h(
      "div",
      { class: "form-grid even" },
      field("Time zone", h("input", { value: waba.timezone_id, list: "zones", onchange: ({ target }) => set({ timezone_id: target.value.trim() }) }), "Meta's number, or a name"),
      field("Currency", h("input", { value: waba.currency, maxlength: 3, onchange: ({ target }) => set({ currency: target.value.trim().toUpperCase() }) })),
    ),
    h("p", { class: "note" }, counted.join(" · ")),
  );
}
