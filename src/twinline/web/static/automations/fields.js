// The fields of a form: one widget for each kind that the catalogue (automations/forms.py) knows. A widget reads and
// writes through a slot, {path, get, set}; what is empty and may be left out isn't kept.

import { ask, toast } from "../app.js";
import { h, icon, tool } from "./draw.js";
import { kindOf, renamed, slug } from "./model.js";
import { complete, insertMenu } from "./placeholders.js";

const UNITS = [["s", "seconds"], ["m", "minutes"], ["h", "hours"], ["d", "days"]];
const HEADINGS = [["text", "Words"], ["image", "Picture"], ["video", "Video"], ["document", "Document"]];
let counted = 0;

export function slotOf(holder, key, path, editor, optional = false) {
  return {
    path,
    get: () => holder[key],
    set(value, how = "typing") {
      const empty = value === "" || value === undefined || value === null || (Array.isArray(value) && !value.length);
      if (value === undefined || (empty && optional)) delete holder[key];
      else holder[key] = value;
      editor.changed(how);
    },
  };
}

/** The form of one step, trigger or condition: `holder[key]` is its value. */
export function form(specs, holder, key, path, editor) {
  const value = holder[key];
  const inside = [];
  const more = [];
  for (const spec of specs) {
    if (!shown(spec, value, specs)) continue;
    const whole = spec.name === "";
    const slot = whole ? slotOf(holder, key, path, editor) : slotOf(value, spec.name, [...path, spec.name], editor, spec.optional);
    (spec.more && slot.get() === undefined ? more : inside).push(field({ ...spec, beside: specs }, slot, editor, value));
  }
  return [
    ...inside,
    more.length ? h("details", { class: "more" }, h("summary", {}, "More"), h("div", { class: "fields" }, more)) : null,
  ];
}

/** Leaves out of `value` what has no place in it any more. */
function prune(value, specs) {
  const kept = new Set(specs.filter((spec) => shown(spec, value, specs)).map(({ name }) => name));
  for (const { name } of specs) if (!kept.has(name)) delete value[name];
}

function shown(spec, value, specs) {
  if (spec.without && value?.[spec.without] && !value?.[spec.name]) return false;
  for (const [other, wanted] of Object.entries(spec.show ?? {})) {
    const chosen = value?.[other] ?? specs.find((one) => one.name === other)?.default;
    if (typeof wanted === "string" ? `!${chosen}` === wanted : !wanted.includes(chosen)) return false;
  }
  return true;
}

export function field(spec, slot, editor, value) {
  const id = `f-${slot.path.join("-")}-${spec.kind}`;
  const control = WIDGETS[spec.kind](spec, slot, editor, id, value);
  const grouped = GROUPED.has(spec.kind);
  const label = spec.label && spec.kind !== "check" && h(grouped ? "span" : "label", { class: "label", ...(grouped ? { id: `${id}-l` } : { for: id }) }, spec.label);
  if (grouped && control.setAttribute) {
    control.setAttribute("role", "group");
    if (spec.label) control.setAttribute("aria-labelledby", `${id}-l`);
  }
  return h("div", { class: `field kind-${spec.kind}` },
    label,
    control,
    spec.hint && h("p", { class: "hint" }, spec.hint),
    spec.makes && !editor.options(spec.of).length && h("p", { class: "hint" }, "There is none yet. ", editor.place(spec.makes)),
    h("p", { class: "error", "data-problem": slot.path.join("/"), hidden: true }),
  );
}

const GROUPED = new Set(["segments", "many", "numbers", "words", "choices", "sections", "days", "conditions", "pairs", "items", "heading", "media", "budget", "template", "test", "duration"]);

function line(spec, slot, editor, id, more = {}) {
  const input = h("input", {
    class: "input", id, autocomplete: "off", value: slot.get() ?? "", placeholder: spec.placeholder ?? "",
    "aria-label": spec.label ? undefined : spec.says ?? "Value",
    oninput: () => slot.set(input.value), ...more,
  });
  return input;
}

function select(id, options, chosen, onchange, label) {
  return h("select", { class: "input", id, "aria-label": label, onchange: (event) => onchange(event.target.value) },
    options.map(([value, words]) => h("option", { value, selected: value === String(chosen ?? "") }, words)));
}

/** Asks the page to be drawn anew after a choice that changes which fields there are. */
const redraws = (slot, editor) => (value) => {
  slot.set(value, "choice");
  editor.draw();
};

const WIDGETS = {
  text(spec, slot, editor, id) {
    const input = line(spec, slot, editor, id);
    if (!spec.placeholders) return input;
    complete(input, editor);
    return h("div", { class: "with-menu" }, input, insertMenu(input, editor));
  },

  long(spec, slot, editor, id) {
    const box = h("textarea", { class: "input", id, rows: 2, oninput: () => slot.set(box.value) });
    box.value = slot.get() ?? "";
    if (spec.placeholders) complete(box, editor);
    return spec.placeholders ? h("div", { class: "with-menu" }, box, insertMenu(box, editor)) : box;
  },

  json(spec, slot, editor, id) {
    const given = slot.get();
    const box = h("textarea", { class: "input mono", id, rows: 4, spellcheck: "false", placeholder: '{"order": "{{vars.order}}"}', oninput: () => {
      try {
        slot.set(box.value.trim() ? JSON.parse(box.value) : "");
      } catch {
        slot.set(box.value);
      }
    } });
    box.value = given === undefined ? "" : typeof given === "string" ? given : JSON.stringify(given, null, 2);
    complete(box, editor);
    return box;
  },

  name(spec, slot, editor, id) {
    return line(spec, slot, editor, id, {
      placeholder: "email", spellcheck: false,
      onchange(event) {
        event.target.value = slug(event.target.value);
        slot.set(event.target.value);
      },
    });
  },

  number(spec, slot, editor, id) {
    const input = line(spec, slot, editor, id, {
      type: "number", step: "any",
      oninput: () => slot.set(input.value === "" ? "" : Number(input.value)),
    });
    return spec.unit ? h("div", { class: "with-unit" }, input, h("span", {}, spec.unit)) : input;
  },

  time: (spec, slot, editor, id) => line(spec, slot, editor, id, { type: "time" }),
  date: (spec, slot, editor, id) => line(spec, slot, editor, id, { type: "date" }),

  check(spec, slot, editor, id) {
    return h("label", { class: "switch" },
      h("input", { type: "checkbox", role: "switch", id, checked: slot.get() ?? spec.default ?? false, onchange: ({ target }) => slot.set(target.checked === (spec.default ?? false) ? undefined : target.checked, "choice") }),
      h("span", {}), spec.label);
  },

  choice: (spec, slot, editor, id) => select(id, spec.options, slot.get() ?? spec.default, redraws(slot, editor), spec.label ? undefined : "Which"),

  yes: (spec, slot, editor, id) => select(id, spec.options, slot.get() ? "yes" : "no", (value) => slot.set(value === "yes", "choice"), "Which"),

  segments(spec, slot, editor, id, value) {
    const chosen = slot.get() ?? spec.default;
    const choose = (next) => {
      slot.set(next === spec.default ? undefined : next, "choice");
      prune(value, spec.beside);
      editor.changed("choice");
      editor.draw();
    };
    return h("div", { class: "segments", id }, spec.options.map(([next, words]) =>
      h("button", { type: "button", class: "chip", id: `${id}-${next}`, "aria-pressed": String(next === chosen), onclick: () => choose(next) }, words)));
  },

  duration(spec, slot, editor, id) {
    const given = slot.get();
    const parts = /^(\d+(?:\.\d+)?)([smhd])$/.exec(given ?? "");
    if (given && !parts) return line(spec, slot, editor, id);
    const amount = h("input", { class: "input", id, type: "number", min: "0", step: "any", inputmode: "decimal", value: parts?.[1] ?? "", placeholder: spec.empty ?? "", "aria-label": `${spec.label || "Time"}: how many`, oninput: said });
    const usual = UNITS.find(([, words]) => spec.empty?.endsWith(words)) ?? UNITS[1];
    const unit = select(`${id}-unit`, UNITS, parts?.[2] ?? usual[0], said, `${spec.label || "Time"}: of what`);
    // Beside "12 hours", which stands in an empty field, no other unit is read.
    unit.hidden = Boolean(spec.empty) && !amount.value;
    function said() {
      unit.hidden = Boolean(spec.empty) && !amount.value;
      slot.set(amount.value === "" ? "" : `${amount.value}${unit.value}`);
    }
    return h("div", { class: "duration" }, amount, unit);
  },

  days(spec, slot, editor, id) {
    return h("div", { class: "day-chips", id }, editor.catalogue.days.map(([day, words]) => {
      const chosen = slot.get() ?? [];
      return h("label", {}, h("input", { type: "checkbox", checked: chosen.includes(day), onchange(event) {
        const now = new Set(slot.get() ?? []);
        if (event.target.checked) now.add(day);
        else now.delete(day);
        slot.set(editor.catalogue.days.map(([one]) => one).filter((one) => now.has(one)), "choice");
      } }), h("span", { class: "chip" }, words));
    }));
  },

  /** One of what is known; anything else may be written too. */
  from(spec, slot, editor, id) {
    const options = editor.options(spec.of);
    const given = slot.get() ?? "";
    const open = !["users", "automations", "connections", "choices"].includes(spec.of);
    if (open || (!options.length && spec.of !== "choices")) {
      const input = line(spec, slot, editor, id, { list: `${id}-list`, value: given, placeholder: spec.placeholder ?? spec.label });
      return h("div", {}, input, h("datalist", { id: `${id}-list` }, options.map(([value, words]) => h("option", { value }, words))));
    }
    const all = given && !options.some(([value]) => value === given) ? [...options, [given, given]] : options;
    return select(id, [["", "Choose…"], ...all], given, redraws(slot, editor), spec.label);
  },

  /** Some of what is known. */
  many(spec, slot, editor, id) {
    const options = editor.options(spec.of);
    const toggled = (value) => ({ target }) => {
      const now = (slot.get() ?? []).filter((one) => one !== value);
      slot.set(target.checked ? [...now, value] : now, "choice");
    };
    return h("div", { class: "day-chips", id }, options.length ? options.map(([value, words]) =>
      h("label", {}, h("input", { type: "checkbox", checked: (slot.get() ?? []).includes(value), onchange: toggled(value) }), h("span", { class: "chip" }, words))) : !spec.makes && h("span", { class: "muted small" }, "There is none yet."));
  },

  numbers(spec, slot, editor, id) {
    const all = editor.facts.numbers;
    const chosen = Array.isArray(slot.get()) ? slot.get() : null;
    const chip = (words, on, next) => h("button", { type: "button", class: "chip", "aria-pressed": String(on), onclick: () => redraws(slot, editor)(next) }, words);
    return h("div", { class: "segments", id }, chip("All of them", !chosen, undefined), all.map(([number, words]) => {
      const on = chosen?.includes(number) ?? false;
      const others = (chosen ?? []).filter((one) => one !== number);
      const next = on ? others : [...others, number];
      return chip(words, on, next.length ? next : undefined);
    }));
  },

  words(spec, slot, editor, id) {
    const options = editor.options(spec.of);
    const box = h("div", { class: "words" });
    const input = h("input", { class: "plain-input", id, autocomplete: "off", "aria-label": `${spec.label}: add one`, list: `${id}-list`, placeholder: "Type and press Enter",
      onkeydown(event) {
        if ((event.key === "Enter" || event.key === ",") && input.value.trim()) {
          event.preventDefault();
          add();
        } else if (event.key === "Backspace" && !input.value) drop((slot.get() ?? []).length - 1);
      },
      onchange: () => add() });
    const add = () => {
      const fresh = input.value.split(",").map((one) => one.trim()).filter(Boolean);
      input.value = "";
      if (!fresh.length) return;
      slot.set([...new Set([...(slot.get() ?? []), ...fresh])], "choice");
      fill();
    };
    const drop = (index) => {
      slot.set((slot.get() ?? []).filter((_, place) => place !== index), "choice");
      fill();
      input.focus();
    };
    const fill = () => {
      for (const chip of box.querySelectorAll(".word")) chip.remove();
      input.before(...(slot.get() ?? []).map((word, index) =>
        h("span", { class: "word" }, String(word), h("button", { type: "button", "aria-label": `Remove ${word}`, onclick: () => drop(index) }, icon("close")))));
    };
    box.append(input, h("datalist", { id: `${id}-list` }, options.map(([value]) => h("option", { value }))));
    fill();
    box.addEventListener("click", (event) => event.target === box && input.focus());
    return box;
  },

  choices(spec, slot, editor, id) {
    return rows(slot, editor, id, spec.most ?? 10, "Add a choice", (choice, path, remove) => [
      titled(choice, path, editor, { label: "Choice", maxlength: 24 }),
      remove,
    ]);
  },

  sections(spec, slot, editor, id) {
    const sections = slot.get()?.length ? slot.get() : [{ rows: [] }];
    if (!slot.get()?.length) slot.get() === undefined ? null : slot.get().push(sections[0]);
    return h("div", { class: "sections", id }, sections.map((section, index) => {
      const path = [...slot.path, index];
      const inner = slotOf(section, "rows", [...path, "rows"], editor);
      return h("div", { class: "section" },
        sections.length > 1 && h("input", { class: "input", "aria-label": "Heading of these rows", placeholder: "Heading", value: section.title ?? "", oninput: (event) => slotOf(section, "title", path, editor, true).set(event.target.value) }),
        rows({ ...inner, set(value, how) { slot.set(sections, how); inner.set(value, how); } }, editor, `${id}-${index}`, 10, "Add a row", (row, rowPath, remove) => [
          titled(row, rowPath, editor, { label: "Row", maxlength: 24 }),
          h("input", { class: "input", "aria-label": "More about it", placeholder: "More about it (optional)", maxlength: 72, value: row.description ?? "", oninput: (event) => slotOf(row, "description", rowPath, editor, true).set(event.target.value) }),
          remove,
        ]));
    }), h("button", { type: "button", class: "button ghost small", onclick: () => {
      slot.set([...sections, { title: "", rows: [] }], "choice");
      editor.draw();
    } }, icon("plus"), "Another heading"));
  },

  /** Several of a kind, each with fields of its own. */
  items(spec, slot, editor, id) {
    const all = slot.get() ?? [];
    const change = (next) => {
      slot.set(next, "choice");
      editor.draw();
    };
    return h("div", { class: "sections", id }, all.map((one, index) => {
      const path = [...slot.path, index];
      return h("div", { class: "section" },
        spec.fields.map((inner) => field(inner, slotOf(one, inner.name, [...path, inner.name], editor, inner.optional), editor, one)),
        h("button", { type: "button", class: "button ghost small", "aria-label": `Remove ${one.name || "this one"}`, onclick: () => change(all.filter((_, place) => place !== index)) }, icon("close"), "Remove"));
    }), h("button", { type: "button", class: "button ghost small", onclick: () => change([...all, {}]) }, icon("plus"), spec.add));
  },

  /** Words above the text, or a picture, a video or a document by its address. */
  heading(spec, slot, editor, id) {
    const given = slot.get();
    const kind = given?.type ?? "text";
    const link = kind === "text" ? "" : given.link;
    const box = h("input", { class: "input", id, autocomplete: "off", "aria-label": "Heading", value: kind === "text" ? given ?? "" : link, placeholder: kind === "text" ? "" : "https://", oninput: () => slot.set(kind === "text" ? box.value : { type: kind, link: box.value }) });
    const change = (next) => {
      slot.set(next === "text" ? "" : { type: next, link }, "choice");
      editor.draw();
    };
    return h("div", { class: "test" }, select(`${id}-kind`, HEADINGS, kind, change, "What stands above"), box);
  },

  pairs(spec, slot, editor, id) {
    const given = Object.entries(slot.get() ?? {});
    const keep = (pairs) => slot.set(Object.fromEntries(pairs.filter(([name]) => name)), "typing");
    const line = ([name, value], index) => h("div", { class: "pair" },
      h("input", { class: "input mono", "aria-label": "Name", placeholder: "Accept", value: name, oninput: (event) => { given[index][0] = event.target.value; keep(given); } }),
      h("input", { class: "input mono", "aria-label": "Value", value, oninput: (event) => { given[index][1] = event.target.value; keep(given); } }));
    const box = h("div", { class: "pairs", id }, given.map(line));
    box.append(h("button", { type: "button", class: "button ghost small", onclick: (event) => {
      given.push(["", ""]);
      event.target.before(line(given.at(-1), given.length - 1));
    } }, icon("plus"), "Add"));
    return box;
  },

  budget(spec, slot, editor, id) {
    const budget = slot.get() ?? {};
    const one = (name, label) => h("label", {}, h("input", { class: "input", type: "number", min: "1", value: budget[name] ?? "", oninput: (event) => {
      if (event.target.value === "") delete budget[name];
      else budget[name] = Number(event.target.value);
      slot.set(Object.keys(budget).length ? budget : "");
    } }), h("span", {}, label));
    return h("div", { class: "budget", id }, one("replies", "answers"), one("tokens", "tokens"));
  },

  /** What a value is compared with: {is: x}, {empty: true} … among the other keys of its holder. */
  test(spec, slot, editor, id, value) {
    const holder = value;
    const ops = spec.options.map(([op]) => op);
    const op = ops.find((one) => one in holder) ?? ops[0];
    const change = (next) => {
      const said = holder[op];
      delete holder[op];
      holder[next] = next === "empty" ? true : (said === true ? "" : said) ?? "";
      editor.changed("choice");
      editor.draw();
    };
    const given = holder[op] ?? "";
    const input = op === "empty" ? null : h("input", { class: "input", id, "aria-label": "With what", autocomplete: "off", value: Array.isArray(given) ? given.join(", ") : given, placeholder: spec.many ? "price, cost" : "", oninput: () => {
      const several = spec.many && input.value.includes(",");
      holder[op] = several ? input.value.split(",").map((one) => one.trim()).filter(Boolean) : input.value;
      editor.changed("typing");
    } });
    return h("div", { class: "test" }, select(`${id}-op`, spec.options, op, change, "How"), input);
  },

  conditions: (spec, slot, editor) => conditions(slot.get(), slot.path, editor),

  media(spec, slot, editor, id) {
    const given = slot.get();
    const input = h("input", { type: "file", id, class: "visually-hidden", "aria-label": "Choose a file", async onchange() {
      if (!input.files.length) return;
      const body = new FormData();
      body.append("file", input.files[0]);
      try {
        const { text } = await ask("/automations/media", { method: "POST", body });
        slot.set(JSON.parse(text), "choice");
        editor.draw();
      } catch (error) {
        toast(error.message, "danger");
      }
    } });
    const name = typeof given === "object" && given ? given.filename ?? given.file : given;
    return h("div", { class: "media-choice" }, h("label", { class: "button", for: id }, icon("attach"), name ? "Another file" : "Choose a file"), input, name && h("span", { class: "muted small" }, name));
  },

  template(spec, slot, editor, id) {
    const given = slot.get() ?? {};
    const options = editor.facts.templates.map(({ name, language }) => [`${name} ${language}`, `${name} (${language})`]);
    const chosen = given.name ? `${given.name} ${given.language}` : "";
    const known = editor.facts.templates.find((one) => one.name === given.name && one.language === given.language);
    const all = chosen && !known ? [...options, [chosen, `${given.name} (${given.language})`]] : options;
    const values = { ...given.values };
    return h("div", { class: "fields", id },
      select(`${id}-which`, [["", "Choose…"], ...all], chosen, (value) => {
        const [name, language] = value.split(" ");
        slot.set(name ? { name, language } : {}, "choice");
        editor.draw();
      }, "Template"),
      (known?.slots ?? []).map(({ key, label }) => {
        const input = h("input", { class: "input", id: `${id}-${key}`, autocomplete: "off", value: values[key] ?? "", oninput: () => {
          values[key] = input.value;
          slot.set({ ...slot.get(), values: { ...values } });
        } });
        complete(input, editor);
        return h("div", { class: "field" }, h("label", { class: "label", for: `${id}-${key}` }, label), h("div", { class: "with-menu" }, input, insertMenu(input, editor)));
      }));
  },
};

// ---- rows of choices ---------------------------------------------------------------------------------------------------

function rows(slot, editor, id, most, words, content) {
  const all = slot.get() ?? [];
  const box = h("div", { class: "choice-rows", id });
  const add = () => {
    counted += 1;
    slot.set([...(slot.get() ?? []), { id: `option_${Date.now().toString(36)}${counted}`, title: "" }], "choice");
    editor.draw();
    document.getElementById(id)?.querySelector(".choice-row:last-of-type input")?.focus();
  };
  box.append(...all.map((one, index) => h("div", { class: "choice-row" }, content(one, [...slot.path, index],
    tool("close", `Remove ${one.title || "this one"}`, () => {
      slot.set((slot.get() ?? []).filter((_, place) => place !== index), "choice");
      editor.draw();
    })))));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches(".choice-row input") && (slot.get() ?? []).length < most) {
      event.preventDefault();
      event.target.dispatchEvent(new Event("change"));
      add();
    }
  });
  if (all.length < most) box.append(h("button", { type: "button", class: "button ghost small", onclick: add }, icon("plus"), words));
  return box;
}

/** A choice's title. Its id follows until somebody gives it one of their own in the YAML. */
function titled(choice, path, editor, { label, maxlength }) {
  const follows = !choice.id || /^option_/.test(choice.id) || choice.id === slug(choice.title ?? "");
  return h("div", { class: "titled" },
    h("input", {
      class: "input", id: `f-${path.join("-")}-title`, "aria-label": label, placeholder: label, maxlength, autocomplete: "off", value: choice.title ?? "",
      oninput(event) {
        choice.title = event.target.value;
        editor.changed("typing");
      },
      onchange() {
        const next = slug(choice.title ?? "");
        if (!follows || !next || next === choice.id || editor.known().choices.some(([id]) => id === next)) return;
        renamed(editor.doc, choice.id, next);
        choice.id = next;
        editor.changed("choice");
      },
    }),
    h("p", { class: "error", "data-problem": path.join("/"), hidden: true }));
}

// ---- conditions --------------------------------------------------------------------------------------------------------

/** A list of conditions, each a line; `not` is the little word before it. */
export function conditions(list, path, editor, { add = "Add a condition", joined = "and" } = {}) {
  const kinds = Object.entries(editor.catalogue.conditions);
  const line = (outer, index) => {
    const negated = kindOf(outer) === "not";
    const holder = negated ? outer.not : outer;
    const kind = kindOf(holder);
    const here = [...path, index, ...(negated ? ["not"] : []), kind];
    const offer = editor.catalogue.conditions[kind];
    const change = (next) => {
      const fresh = { [next]: structuredClone(editor.catalogue.conditions[next].initial) };
      list[index] = negated ? { not: fresh } : fresh;
      editor.changed("choice");
      editor.draw();
    };
    const groups = new Map();
    for (const [name, one] of kinds) groups.set(one.group, [...(groups.get(one.group) ?? []), [name, one.label]]);
    const what = h("select", { class: "input", id: `f-${here.join("-")}-kind`, "aria-label": "What is looked at", onchange: (event) => change(event.target.value) },
      [...groups].map(([group, ones]) => h("optgroup", { label: group }, ones.map(([name, words]) => h("option", { value: name, selected: name === kind }, words)))));
    const inner = offer ? form(offer.fields, holder, kind, here, editor) : h("span", { class: "mono" }, kind);
    const nested = ["any", "all"].includes(kind);
    return h("li", { class: `condition${nested ? " nested" : ""}` },
      index > 0 && h("span", { class: "joined" }, joined),
      h("div", { class: "condition-line" },
        select(`f-${here.join("-")}-not`, [["", "if"], ["not", "if not"]], negated ? "not" : "", () => {
          list[index] = negated ? holder : { not: holder };
          editor.changed("choice");
          editor.draw();
        }, "If or if not"),
        what,
        h("div", { class: "condition-fields" }, inner),
        tool("close", "Remove this condition", () => {
          list.splice(index, 1);
          editor.changed("choice");
          editor.draw();
        })),
      h("p", { class: "error", "data-problem": [...path, index].join("/"), hidden: true }));
  };
  return h("div", { class: "conditions" },
    h("ul", {}, list.map((_, index) => line(list[index], index))),
    h("button", { type: "button", class: "button ghost small", id: `f-${path.join("-")}-add`, onclick: () => {
      const kind = editor.known().choices.length ? "choice" : "text";
      list.push({ [kind]: structuredClone(editor.catalogue.conditions[kind].initial) });
      editor.changed("choice");
      editor.draw();
    } }, icon("plus"), add));
}

