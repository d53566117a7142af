// Meta's desk: templates as they were handed in, what may be decided about them, and the rules that decide alone.

import { clock, get, listen, post, soon } from "./api.js";
import { bubble } from "./bubble.js";
import { ask, field, fill, full, h, icon, reconcile, refill, toast, tried } from "./dom.js";

const $ = (id) => document.getElementById(id);
const TONES = { APPROVED: "good", PENDING: "warn", PAUSED: "warn", REJECTED: "bad", DISABLED: "bad" };
const WORDS = { PENDING_DELETION: "Being deleted", PENDING: "In review" };
const said = (word) => WORDS[word] ?? word.charAt(0) + word.slice(1).toLowerCase().replaceAll("_", " ");

let desk = { templates: [], wabas: [], reasons: [], categories: [], qualities: [] };
let owners = { portfolios: [], tiers: [] };
let options = {};

const small = (label, work, bad = false) => h("button", { class: bad ? "button small bad" : "button small", type: "button", onclick: tried(work) }, label);
const select = (name, values, chosen, onchange) => h("select", { name, onchange }, values.map((value) => h("option", { value, selected: value === chosen }, said(value))));
const pill = (template) => h("span", { class: `pill ${template.held ? "warn" : (TONES[template.status] ?? "plain")}` }, template.held ? `${template.held} held` : said(template.status));

// ---- the list -------------------------------------------------------------------------------------------------------

const rows = h("div", { class: "template-rows" });
fill($("list"), h("header", {}, h("h2", {}, "Handed in"), small("New template", newTemplate)), rows);

function list() {
  const current = chosen()?.id;
  const several = desk.wabas.length > 1;
  const owner = Object.fromEntries(desk.wabas.map(({ id, name }) => [id, name]));
  reconcile(
    rows,
    desk.templates.map((one) => ({ key: one.id, signature: JSON.stringify([one, one.id === current, several]), one })),
    ({ one }) =>
      h("a", { class: "template-row", href: `#/${one.id}`, "aria-current": one.id === current ? "true" : null, "data-template": one.name },
        h("b", {}, one.name),
        h("small", {}, h("i", { class: `score ${one.quality_score.score}`, title: `Quality ${one.quality_score.score}` }), [one.language, said(one.category), several && owner[one.waba_id]].filter(Boolean).join(" · ")),
        pill(one)),
  );
}

const asked = () => location.hash.slice(2);
/** On a wide screen there is always one to look at. */
const chosen = () => desk.templates.find(({ id }) => id === asked()) ?? desk.templates[0];

// ---- one template ---------------------------------------------------------------------------------------------------

const VARIABLE = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** The examples of a component, by variable. */
function examples({ example = {} }, key) {
  const named = example[`${key}_named_params`];
  if (named) return Object.fromEntries(named.map((one) => [one.param_name, one.example]));
  const values = [example[key] ?? []].flat(2);
  return Object.fromEntries(values.map((value, index) => [String(index + 1), value]));
}

function placed(component, key) {
  const values = examples(component, key);
  return component.text.replace(VARIABLE, (place, name) => values[name] ?? place);
}

/** Components as a customer would read them, their places filled with the examples. */
function sampled(components) {
  const part = Object.fromEntries(components.map((one) => [one.type, one]));
  const shown = { body: part.BODY && placed(part.BODY, "body_text"), footer: part.FOOTER?.text, buttons: part.BUTTONS?.buttons ?? [] };
  const offer = part.LIMITED_TIME_OFFER?.limited_time_offer;
  if (offer) shown.offer = { text: offer.text, expires_at: offer.has_expiration ? clock.now() + 2 * 86400 : null };
  if (part.CAROUSEL) shown.cards = part.CAROUSEL.cards.map((card) => sampled(card.components));
  const form = part.HEADER?.format?.toLowerCase();
  if (form === "text") shown.header = { type: "text", text: placed(part.HEADER, "header_text") };
  else if (form === "location") shown.header = { type: form, location: { latitude: 41.3874, longitude: 2.1686, name: "A place" } };
  else if (form) shown.header = { type: form, [form]: { link: part.HEADER.example.header_handle[0], filename: "sample.pdf" } };
  return shown;
}

function sample({ components }) {
  const shown = sampled(components);
  return { id: "sample", type: "template", shown, text: shown.body, direction: "out", content: {}, at: clock.now(), status: "read", reactions: {}, edits: [] };
}

const HOOKS = { quoted: () => null, name: () => "The business", first: () => true, jump() {}, open() {}, menu() {}, tap() {}, played() {} };

/** Why it is as it is, in a sentence. */
function why(one) {
  if (one.status === "REJECTED") return [`Rejected: ${said(one.rejected_reason)}.`, true];
  if (one.status === "DISABLED") return ["Disabled for good: its quality was red three times.", true];
  if (one.status === "PAUSED" && one.paused_for === "pacing") return ["Paused during pacing. It stays so until the business unpauses it."];
  if (one.status === "PAUSED") return [`Paused for low quality until ${full(one.paused_until)}.`];
  if (one.status === "PENDING") return [one.review_at ? `The review ends at ${full(one.review_at)}.` : "Waits for your decision."];
  if (one.status === "PENDING_DELETION") return ["Deleted, while messages of it still wait for people whose phone is off."];
  if (one.held) return [`${one.held} held. The verdict ${one.verdict_at ? `comes at ${full(one.verdict_at)}` : "is yours"}.`];
  if (one.correct_category) return [`Becomes ${said(one.correct_category).toLowerCase()} at ${full(one.category_at)}.`];
  return [];
}

let drawn = "";

function draw() {
  document.body.classList.toggle("chosen", Boolean(asked()));
  const one = chosen();
  if (!one) return fill($("one"), h("p", { class: "note" }, "No templates yet."));
  // Whatever else happens in the world, what somebody opened here stays open.
  if (drawn === JSON.stringify(one)) return undefined;
  drawn = JSON.stringify(one);
  const act = (step, body) => () => post(`/control/templates/${one.id}/${step}`, body);
  const step = (label, name, bad) => small(label, act(name), bad);
  const steps = {
    PENDING: [step("Approve", "approve"), small("Reject …", () => reject(one), true)],
    APPROVED: [step("Pause for low quality", "pause"), small("Another category …", () => recategorise(one)), small("Reject …", () => reject(one), true), step("Disable", "disable", true)],
    REJECTED: [step("Approve after all", "approve")],
    PAUSED: [step("Unpause", "unpause"), step("Disable", "disable", true)],
    DISABLED: [step("Reinstate", "reinstate")],
  };
  const [reason, bad] = why(one);
  const facts = { Id: one.id, Variables: one.parameter_format === "NAMED" ? "by name" : "by position", Pauses: one.pauses, Changed: full(one.last_updated_time) };
  if (one.message_send_ttl_seconds) facts["Tried for"] = `${one.message_send_ttl_seconds} s`;
  refill(
    $("one"),
    h("header", {}, h("h2", {}, one.name, h("small", {}, `${one.language} · ${said(one.category)}`)), h("span", { class: "badges" }, h("a", { class: "button small back", href: "#" }, icon("back"), "All"), pill(one))),
    reason && h("p", { class: bad ? "why bad" : "why" }, reason),
    h("div", { class: "wall" }, bubble(sample(one), "customer", HOOKS)),
    h("div", { class: "judge" }, h("h3", {}, "Decide"), h("div", { class: "buttons" }, steps[one.status] ?? [], one.status !== "DISABLED" && one.status !== "PENDING_DELETION" && small("Delete", act("delete"), true))),
    one.held > 0 && h("div", { class: "judge" }, h("h3", {}, "What people thought of the first messages"), h("div", { class: "buttons" }, step("They liked it: send the rest", "release"), step("They didn't: drop it and pause", "drop", true))),
    h("div", { class: "judge" }, h("h3", {}, "Quality"), h("div", { class: "buttons" }, desk.qualities.map((score) => h("button", { class: score === one.quality_score.score ? "button small on" : "button small", type: "button", "aria-pressed": String(score === one.quality_score.score), onclick: tried(act("quality", { score })) }, h("i", { class: `score ${score}` }), said(score))))),
    h("dl", { class: "facts" }, Object.entries(facts).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("details", {}, h("summary", {}, "As Graph shows it"), h("pre", {}, JSON.stringify(one.components, null, 2))),
  );
  return undefined;
}

async function reject(one) {
  const given = await ask({
    title: `Reject ${one.name}?`,
    fields: [field("Reason", select("reason", desk.reasons, "INVALID_FORMAT")), field("Advice", h("input", { name: "recommendation", autocomplete: "off" }), "Travels with an invalid format only.")],
    yes: "Reject",
    danger: true,
  });
  if (given) await post(`/control/templates/${one.id}/reject`, given);
}

async function recategorise(one) {
  const others = desk.categories.filter((name) => name !== one.category);
  const given = await ask({
    title: "Another category",
    text: "Meta announces it a day before, and does it at once to who errs often.",
    fields: [field("Category", select("category", others, others[0])), field("Hours of notice", h("input", { name: "hours", type: "number", min: 0, value: 24, required: true }))],
    yes: "Recategorise",
  });
  if (given) await post(`/control/templates/${one.id}/recategorise`, { category: given.category, notice: Number(given.hours) * 3600 });
}

/** Example values for the variables of a text. */
function exampled(text, key, component) {
  const names = [...new Set([...text.matchAll(VARIABLE)].map(([, name]) => name))];
  const values = names.map((name, index) => `example ${index + 1}`);
  return { ...component, text, ...(names.length && { example: { [key]: key === "body_text" ? [values] : values } }) };
}

async function newTemplate() {
  const given = await ask({
    title: "New template",
    text: "Handed in as a business would, with examples made up for {{1}}, {{2}} …",
    fields: [
      field("Name", h("input", { name: "name", required: true, pattern: "[a-z0-9_]+", placeholder: "order_ready", autocomplete: "off" })),
      h("div", { class: "pairs" }, field("Language", h("input", { name: "language", value: "en_US", required: true })), field("Category", select("category", desk.categories.filter((name) => name !== "AUTHENTICATION"), "UTILITY"))),
      desk.wabas.length > 1 && field("Business", h("select", { name: "waba" }, desk.wabas.map(({ id, name }) => h("option", { value: id }, name)))),
      field("Header", h("input", { name: "header", maxlength: 60 })),
      field("Body", h("textarea", { name: "body", rows: 4, required: true, maxlength: 1024 })),
      field("Footer", h("input", { name: "footer", maxlength: 60 })),
      field("Quick replies", h("input", { name: "replies", placeholder: "Yes, No" }), "Separated by commas"),
    ],
    yes: "Hand in",
  });
  if (!given) return;
  const replies = given.replies.split(",").map((text) => text.trim()).filter(Boolean);
  const components = [
    given.header && exampled(given.header, "header_text", { type: "HEADER", format: "TEXT" }),
    exampled(given.body, "body_text", { type: "BODY" }),
    given.footer && { type: "FOOTER", text: given.footer },
    replies.length > 0 && { type: "BUTTONS", buttons: replies.map((text) => ({ type: "QUICK_REPLY", text })) },
  ].filter(Boolean);
  const { name, language, category, waba } = given;
  const made = await post("/control/templates", { name, language, category, components, ...(waba && { waba }) });
  location.hash = `#/${made.id}`;
}

// ---- the rules ------------------------------------------------------------------------------------------------------

const set = tried((body) => post("/control/options", body));
const choice = (key, label, values) => field(label, h("select", { onchange: (event) => set({ [key]: event.target.value }) }, values.map(([value, name]) => h("option", { value, selected: value === options[key] }, name))));
const amount = (key, label, hint) => field(label, h("input", { type: "number", min: 0, value: options[key], onchange: (event) => set({ [key]: Number(event.target.value) }) }), hint);
const check = (key, label) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: options[key], onchange: (event) => set({ [key]: event.target.checked }) }), label);

function rules() {
  refill(
    $("review"),
    h("div", { class: "stack" },
      h("h2", {}, "Review and pacing"),
      h("div", { class: "pairs" }, choice("template_review", "Who reviews", [["rules", "a few rules"], ["approve", "nobody, all pass"], ["manual", "only this page"]]), amount("template_review_seconds", "Seconds it takes")),
      amount("pacing_after", "New marketing goes to so many before the rest is held", "0: nothing is held"),
      h("div", { class: "pairs" }, choice("pacing_verdict", "Then what is held", [["release", "goes out"], ["drop", "fails (132015)"], ["manual", "waits for you"]]), amount("pacing_seconds", "After seconds"))),
  );
  refill(
    $("marketing"),
    h("div", { class: "stack" },
      h("h2", {}, "Marketing"),
      h("div", { class: "pairs" }, amount("marketing_cap", "To one person a day", "0: no cap (131049)"), amount("cap_repeats", "Tries in vain", "then a day of none")),
      check("us_marketing", "Reaches the United States"),
      check("marketing_api", "The Cloud API takes it (else 131063)"),
      check("portfolio_limit", "Messaging limits are kept")),
  );
  refill(
    $("portfolios"),
    h("div", { class: "stack" },
      h("h2", {}, "Messaging limits"),
      h("p", { class: "note" }, "People reached outside a service window in 24 hours, by all numbers of a portfolio."),
      owners.portfolios.map((one) =>
        h("div", { class: "portfolio" },
          h("span", {}, h("b", {}, one.name), h("small", {}, `${one.used} of ${one.limit ?? "any number"}`)),
          h("select", { "aria-label": `Limit of ${one.name}`, onchange: tried((event) => post(`/control/portfolios/${one.id}`, { tier: event.target.value })) }, owners.tiers.map((tier) => h("option", { value: tier, selected: tier === one.tier }, said(tier.slice(5)).toUpperCase()))),
          one.limit && h("progress", { value: one.used, max: one.limit, "aria-label": `Used by ${one.name}` })))),
  );
}

// ---- life -----------------------------------------------------------------------------------------------------------

async function load() {
  [desk, owners, options] = await Promise.all([get("/control/templates"), get("/control/portfolios"), get("/control/options")]);
  list();
  draw();
  rules();
}

const refresh = soon(load);
await clock.read();
await load();
addEventListener("hashchange", () => {
  list();
  draw();
  scrollTo(0, 0);
});
listen(({ kind, message }) => {
  // Held messages and the people reached change with what is sent.
  if (["template", "portfolio", "options", "phone", "reset", "reload", "clock"].includes(kind) || (kind === "message" && message)) refresh();
  if (kind === "reset") toast("Everything began anew");
});
