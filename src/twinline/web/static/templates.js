// Writing a template. What Meta would say is asked of the server while somebody types: the rules stand in one place.

import { ask, toast } from "./app.js";

const form = document.getElementById("template-form");
const preview = document.getElementById("preview");
const rows = document.getElementById("buttons");
const fields = document.getElementById("example-fields");
const given = JSON.parse(fields.dataset.given);
const touched = new Set();

// What a button's value is, by kind; null: it has none.
const VALUES = {
  URL: "https://example.com/orders/{{1}}",
  PHONE_NUMBER: "+351 21 000 7788",
  COPY_CODE: "An example code, like BREAD10",
  FLOW: "The flow's id",
};
let sampleAddress = preview.querySelector(".wa-media img, .wa-media video")?.src ?? null;

// ---- what is shown -----------------------------------------------------------------------------------------------------

function show() {
  const category = form.querySelector("[name=category]:checked")?.value ?? form.elements.category.value;
  const header = form.elements.header.value;
  const otp = form.elements.otp_type.value;
  const on = {
    written: category !== "AUTHENTICATION",
    authentication: category === "AUTHENTICATION",
    offer: category === "MARKETING",
    app: otp !== "COPY_CODE",
    zero: otp === "ZERO_TAP",
  };
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = !on[part.dataset.for] || (part.id === "examples" && !fields.children.length);
  for (const part of form.querySelectorAll("[data-header]")) part.hidden = !part.dataset.header.split(" ").includes(header);
  for (const row of rows.children) {
    const kind = row.querySelector("[name=button_type]").value;
    const value = row.querySelector("[name=button_value]");
    value.placeholder = VALUES[kind] ?? "";
    value.hidden = !(kind in VALUES);
    row.querySelector("[name=button_text]").hidden = kind === "COPY_CODE";
  }
}

/** The fields for examples. Those that stay are left alone: somebody may be typing in one. Answers whether a new one
 * brought a value along, which the server hasn't seen yet. */
function examples(variables) {
  const known = new Map([...fields.children].map((field) => [field.dataset.key, field]));
  const wanted = variables.map(({ key, label }) => {
    const field = known.get(key) ?? exampleField(key);
    field.querySelector("label").textContent = label[0].toUpperCase() + label.slice(1);
    return field;
  });
  for (const [key, field] of known) if (!variables.some((one) => one.key === key)) field.remove();
  wanted.forEach((field, place) => { if (fields.children[place] !== field) fields.insertBefore(field, fields.children[place] ?? null); });
  return wanted.some((field) => !known.has(field.dataset.key) && field.querySelector("input").value);
}

function exampleField(key) {
  const field = document.createElement("div");
  field.className = "field";
  field.dataset.key = key;
  const id = `example-${key}`;
  const label = Object.assign(document.createElement("label"), { htmlFor: id });
  const input = Object.assign(document.createElement("input"), { className: "input", id, name: `example.${key}`, value: given[key] ?? "", autocomplete: "off" });
  const error = Object.assign(document.createElement("p"), { className: "error", hidden: true });
  error.dataset.problem = `example.${key}`;
  field.append(label, input, error);
  return field;
}

// ---- asking ------------------------------------------------------------------------------------------------------------

let timer;
let asking;

function soon() {
  show();
  clearTimeout(timer);
  timer = setTimeout(check, 250);
}

async function check() {
  asking?.abort();
  asking = new AbortController();
  const body = new FormData(form);
  body.delete("header_file");
  try {
    const { text } = await ask(form.dataset.check, { method: "POST", body, signal: asking.signal });
    told(JSON.parse(text));
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "danger");
  }
}

function told({ preview: html, problems, variables, lengths }) {
  preview.innerHTML = html;
  sample();
  if (examples(variables)) check();
  show();
  for (const [name, [length, most]] of Object.entries(lengths)) {
    const count = form.querySelector(`[data-length="${name}"]`);
    count.textContent = `${length} / ${most}`;
    count.classList.toggle("over", length > most);
  }
  for (const place of form.querySelectorAll("[data-problem], [data-row-problem]")) {
    place.hidden = true;
    place.textContent = "";
  }
  for (const problem of problems) {
    const place = placeOf(problem.where);
    // A field that nobody has come to yet isn't scolded; what stands in the way is counted below all the same.
    if (!place || !(touched.has("all") || [...touched].some((name) => problem.where.startsWith(name)))) continue;
    place.textContent = `${place.textContent} ${problem.says} ${problem.do}`.trim();
    place.classList.toggle("guess", !problem.sure);
    place.hidden = false;
  }
  const sure = problems.filter((problem) => problem.sure).length;
  const verdict = document.getElementById("verdict");
  verdict.textContent = sure ? `${sure} thing${sure > 1 ? "s" : ""} to mend before Meta takes it` : "Nothing stands in the way";
  verdict.classList.toggle("bad", sure > 0 && touched.has("all"));
}

function placeOf(where) {
  const row = where.match(/^buttons\.(\d+)/);
  if (row && rows.children[row[1]]) return rows.children[row[1]].querySelector("[data-row-problem]");
  const exact = form.querySelector(`[data-problem="${CSS.escape(where)}"]`);
  if (exact) return exact;
  if (where.startsWith("example.header.")) return form.querySelector('[data-problem="header"]');
  if (where.startsWith("example.buttons.")) return rows.children[where.split(".")[2]]?.querySelector("[data-row-problem]");
  return form.querySelector(`[data-problem="${where.split(".")[0]}"]`);
}

// ---- the header's file -------------------------------------------------------------------------------------------------

function sample() {
  const frame = preview.querySelector(".wa-media.image, .wa-media.video");
  if (!frame || !sampleAddress) return;
  const shown = document.createElement(frame.classList.contains("image") ? "img" : "video");
  shown.src = sampleAddress;
  if (shown.tagName === "IMG") shown.alt = "The header's image";
  else Object.assign(shown, { muted: true, controls: true });
  frame.replaceChildren(shown);
}

async function upload(input) {
  const [file] = input.files;
  if (!file) return;
  const name = form.querySelector("[data-file-name]");
  name.textContent = `Handing ${file.name} to Meta…`;
  const body = new FormData();
  body.append("header", form.elements.header.value);
  body.append("file", file);
  try {
    const { text } = await ask(form.dataset.sample, { method: "POST", body });
    const kept = JSON.parse(text);
    form.elements.header_handle.value = kept.handle;
    form.elements.header_sample.value = text;
    name.textContent = file.name;
    if (sampleAddress?.startsWith("blob:")) URL.revokeObjectURL(sampleAddress);
    sampleAddress = URL.createObjectURL(file);
  } catch (error) {
    name.textContent = "Choose an example file";
    toast(error.html?.startsWith("{") ? JSON.parse(error.html).problem : error.message, "danger");
  } finally {
    input.value = "";
    touched.add("header");
    check();
  }
}

// ---- the text's tools --------------------------------------------------------------------------------------------------

function insert(before, after = "") {
  const box = form.elements.body;
  const { selectionStart: from, selectionEnd: to } = box;
  const inside = box.value.slice(from, to);
  box.setRangeText(before + inside + after, from, to, "end");
  if (after && !inside) box.selectionStart = box.selectionEnd = from + before.length;
  box.focus();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

function variable() {
  const names = [...form.elements.body.value.matchAll(/\{\{([^{}]*)\}\}/g)].map((found) => found[1]);
  if (form.elements.parameter_format.value === "NAMED") {
    let count = 1;
    while (names.includes(`name${count > 1 ? `_${count}` : ""}`)) count += 1;
    insert(`{{name${count > 1 ? `_${count}` : ""}}}`);
  } else insert(`{{${Math.max(0, ...names.map(Number).filter(Boolean)) + 1}}}`);
}

// ---- events ------------------------------------------------------------------------------------------------------------

form.addEventListener("input", soon);
form.addEventListener("change", (event) => {
  if (event.target.id === "header-file") return void upload(event.target);
  const name = event.target.name ?? "";
  touched.add(name.startsWith("example.") ? name : { header_text: "header", button_type: "buttons", button_text: "buttons", button_value: "buttons" }[name] ?? name);
  soon();
});
form.addEventListener("click", (event) => {
  const { target } = event;
  if (target.closest("[data-add-button]")) {
    rows.append(document.getElementById("button-row").content.cloneNode(true));
    rows.lastElementChild.querySelector("[name=button_text]").focus();
    soon();
  } else if (target.closest("[data-remove]")) {
    target.closest(".button-row").remove();
    form.querySelector("[data-add-button]").focus();
    soon();
  } else if (target.closest("[data-up]")) {
    const row = target.closest(".button-row");
    row.previousElementSibling?.before(row);
    target.closest("[data-up]").focus();
    soon();
  } else if (target.closest("[data-variable]")) variable();
  else if (target.closest("[data-wrap]")) {
    const mark = target.closest("[data-wrap]").dataset.wrap;
    insert(mark, mark);
  }
});
form.addEventListener("keydown", (event) => {
  const choice = event.target.closest(".file-choice");
  if (choice && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    choice.querySelector("input").click();
  }
});
form.addEventListener("submit", () => {
  touched.add("all");
  form.querySelector(".submit-bar .primary").disabled = true;
});
addEventListener("pageshow", () => { form.querySelector(".submit-bar .primary").disabled = false; });

if (document.querySelector(".banner.danger")) touched.add("all");
show();
check();
