// The definition as a value: where its parts are, and what may be done with them. Nothing here knows of a page.
//
// A path is an array of keys from the definition's root, as the server names them too: ["steps", 2, "branch", 0, "when"].

/** The one key of a step, a trigger or a condition. */
export const kindOf = (one) => Object.keys(one ?? {})[0] ?? "";
export const valueOf = (one) => one?.[kindOf(one)];
export const clone = (value) => structuredClone(value);
export const keyOf = (path) => `/${path.join("/")}`;
export const pathOf = (key) => key.split("/").slice(1).map((part) => (/^\d+$/.test(part) ? Number(part) : part));

export const at = (doc, path) => path.reduce((value, key) => value?.[key], doc);

/** The lists of steps inside a step: [{key, path, list}]. Those that aren't there have an empty list that isn't kept. */
export function lanes(catalogue, step, path) {
  const kind = kindOf(step);
  if (kind === "branch") {
    return step.branch.map((one, index) => ({ key: index, case: one, path: [...path, "branch", index, "steps"], list: one.steps ?? [] }));
  }
  return (catalogue.steps[kind]?.lanes ?? []).map(([key, title]) => ({
    key,
    title,
    path: [...path, kind, key],
    list: step[kind]?.[key] ?? [],
  }));
}

/** Every step with its path, in the order of reading. */
export function* walk(catalogue, list, path) {
  for (const [index, step] of list.entries()) {
    const here = [...path, index];
    yield { step, path: here };
    for (const lane of lanes(catalogue, step, here)) yield* walk(catalogue, lane.list, lane.path);
  }
}

/** A list of steps, made if it isn't there yet. */
export function list(doc, path) {
  const holder = at(doc, path.slice(0, -1));
  const key = path.at(-1);
  holder[key] ??= [];
  return holder[key];
}

/** A block for what went wrong that has lost its last step isn't there any more, so that the conversation ends there. */
export function tidy(doc, path, list) {
  if (!list.length && path.length > 1 && typeof path.at(-2) === "string") {
    const step = at(doc, holderOf(path));
    delete step[path.at(-2)][path.at(-1)];
  }
}

/** Moves the step at `from` to stand before `index` of the list at `to`; answers its new path, or null if it can't. */
export function move(doc, from, to, index) {
  // Into itself: no.
  if (keyOf([...to, ""]).startsWith(keyOf([...from, ""]))) return null;
  const source = at(doc, from.slice(0, -1));
  const target = list(doc, to);
  const place = from.at(-1);
  const [step] = source.splice(place, 1);
  let where = index;
  if (source === target && place < index) where -= 1;
  target.splice(where, 0, step);
  tidy(doc, from.slice(0, -1), source);
  return step;
}

/** The path of an object in the definition, found by identity. */
export function find(catalogue, doc, wanted) {
  for (const { step, path } of walk(catalogue, doc.steps, ["steps"])) if (step === wanted) return path;
  return null;
}

/** Where Alt and an arrow would move a step: {to, index}, or null. */
export function neighbour(catalogue, doc, path, direction) {
  const parent = path.slice(0, -1);
  const place = path.at(-1);
  const siblings = at(doc, parent);
  if (direction === "up" && place > 0) return { to: parent, index: place - 1 };
  if (direction === "down" && place < siblings.length - 1) return { to: parent, index: place + 2 };
  if (direction === "right") {
    const beside = besides(catalogue, doc, parent);
    if (beside) {
      const next = beside.all[beside.place + 1];
      return next ? { to: next.path, index: 0 } : null;
    }
    for (const other of [place + 1, place - 1]) {
      const found = siblings[other] && lanes(catalogue, siblings[other], [...parent, other])[0];
      if (found) return { to: found.path, index: found.list.length };
    }
    return null;
  }
  // Out of a branch: before or after the step that holds it; to the left also into the column beside.
  const holder = holderOf(parent);
  if (!holder) return null;
  const beside = besides(catalogue, doc, parent);
  if (direction === "left" && beside?.place > 0) {
    const other = beside.all[beside.place - 1];
    return { to: other.path, index: other.list.length };
  }
  const outer = holder.slice(0, -1);
  return { to: outer, index: holder.at(-1) + (direction === "down" ? 1 : 0) };
}

/** The step whose lane this list is; null for the first one. */
export function holderOf(parent) {
  if (parent.length <= 1) return null;
  return typeof parent.at(-2) === "number" ? parent.slice(0, -3) : parent.slice(0, -2);
}

function besides(catalogue, doc, parent) {
  const holder = holderOf(parent);
  if (!holder) return null;
  const all = lanes(catalogue, at(doc, holder), holder);
  return { all, place: all.findIndex((lane) => keyOf(lane.path) === keyOf(parent)) };
}

/** What can be referred to: choices as [id, title], and the names that answers are kept under. */
export function known(catalogue, doc) {
  const choices = new Map();
  const vars = new Set();
  for (const { step } of walk(catalogue, doc.steps, ["steps"])) {
    const value = valueOf(step);
    if (typeof value !== "object" || value === null) continue;
    const rows = [...(value.choices ?? []), ...(value.buttons ?? []), ...(value.sections ?? []).flatMap((one) => one.rows ?? [])];
    for (const { id, title } of rows) if (id) choices.set(id, title || id);
    for (const name of [value.save, value.var]) if (name) vars.add(name);
  }
  return { choices: [...choices], vars: [...vars] };
}

/** An id that a person can read: "Opening hours" → "opening_hours". */
export function slug(title) {
  return title.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^[_0-9]+|_+$/g, "").slice(0, 40);
}

/** Gives a choice another id, and those who speak of it. */
export function renamed(doc, before, after) {
  const visit = (value) => {
    if (Array.isArray(value)) value.forEach(visit);
    else if (value && typeof value === "object") {
      if (value.choice === before && Object.keys(value).length === 1) value.choice = after;
      Object.values(value).forEach(visit);
    }
  };
  visit(doc);
}
