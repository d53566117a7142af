// Small helpers around the DOM: make elements, keep lists in step, say times and numbers.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes, `on…` handlers, `class`, then children (strings, nodes, arrays; empty ones are left out). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...shown(children));
  return element;
}

/** Gives an element new children. */
export function fill(element, ...children) {
  element.replaceChildren(...shown(children));
}

/** The same for a panel that somebody may be using: the focus stays, what is open stays open, and what is half written
    isn't taken away. */
export function refill(element, ...children) {
  const all = () => [...element.querySelectorAll("a, button, input, select")];
  const active = document.activeElement;
  const place = all().indexOf(active);
  // A field in a form waits for its button; any other is saved when it is left.
  const unsaved = (one) => one.matches("input:not([type=checkbox])") && one.value !== one.defaultValue && (one.form || one === active);
  if (place >= 0 && (active.matches("select") || all().some(unsaved))) return;
  const folds = () => [...element.querySelectorAll("details")];
  const open = folds().map((one) => one.open);
  fill(element, ...children);
  folds().forEach((one, index) => (one.open = open[index] ?? one.open));
  all()[place]?.focus();
}

const shown = (children) => children.flat(3).filter((child) => child !== null && child !== undefined && child !== false && child !== "");

/* Drawn for this simulator: 24 units, stroked with the colour of the text. */
const ICONS = {
  back: "M15 5l-7 7 7 7",
  forward: "M9 5l7 7-7 7",
  chats: "M5 6h14a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7l-4 3.5V17H5a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2Z",
  contacts: "M12 12a3.6 3.6 0 1 0 0-7.2 3.6 3.6 0 0 0 0 7.2ZM4.8 19.6c.6-3.2 3.5-5 7.2-5s6.6 1.8 7.2 5",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5M4 12h16",
  search: "M11 17.500a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM16 16l4 4",
  plus: "M12 5v14M5 12h14",
  smile: "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM8.5 14c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9 9.800v.2M15 9.800v.2",
  send: "M4 12l16-7.5-5 15.5-3.5-6L4 12Zm7.5 2L20 4.5",
  mic: "M12 15a3 3 0 0 0 3-3V7a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3ZM6 11.500a6 6 0 0 0 12 0M12 17.500V21",
  image: "M5 4.500h14a1.5 1.5 0 0 1 1.5 1.500v12a1.5 1.5 0 0 1-1.5 1.500H5A1.5 1.5 0 0 1 3.5 18V6A1.5 1.5 0 0 1 5 4.500ZM4 16.500l5-5 4 4 3-3 4 4M15.5 9v.1",
  camera: "M4 8h3.500L9 5.500h6L16.5 8H20v11H4V8Zm8 8.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Z",
  file: "M7 3.500h7l4 4V20H7a1 1 0 0 1-1-1V4.500a1 1 0 0 1 1-1ZM14 3.500V8h4M9 12.500h6M9 16h4",
  pin: "M12 21c4-4.6 6-8 6-10.600A6 6 0 0 0 6 10.400C6 13 8 16.4 12 21Zm0-8.500a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.400Z",
  card: "M4 5h16v14H4V5Zm5 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4Zm-3 3.500c.5-1.5 1.6-2 3-2s2.5.5 3 2M14.5 10H18M14.5 13.500H18",
  poll: "M5 6h14M5 12h9M5 18h12",
  sticker: "M5 4h14a1 1 0 0 1 1 1v9l-6 6H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1Zm15 10h-5a1 1 0 0 0-1 1v5",
  video: "M4 6.500h11v11H4v-11ZM15 10.500l5-3v9l-5-3",
  reply: "M10 6l-6 5.500L10 17v-3.500c5 0 8 1.5 10 5 0-6-4-9.5-10-9.500V6Z",
  copy: "M9 9h10v11H9V9ZM5 15V4h10",
  edit: "M5 19l1-4L16 5l3 3L9 18l-4 1ZM14 7l3 3",
  trash: "M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13M10.5 11v5.500M13.5 11v5.5",
  info: "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM12 11v5M12 8v.1",
  ban: "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM6 6l12 12",
  close: "M6 6l12 12M18 6L6 18",
  down: "M6 9.500l6 6 6-6",
  more: "M12 6v.1M12 12v.1M12 18v.1",
  check: "M5 12.500l4.5 4.500L19 7.5",
  sent: "M6 12.500l4 4L18 8",
  double: "M2.5 12.500l4 4 8-8.500M11.5 15.500l1 1 8-8.5",
  waiting: "M12 19.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15ZM12 8v4.200l2.6 1.6",
  failed: "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM12 7.500v5.500M12 16v.1",
  play: "M8 5.500v13l10.5-6.500L8 5.500Z",
  pause: "M8.5 5.500v13M15.5 5.500v13",
  link: "M10 14l4-4M9 10.500l-3 3a3.2 3.2 0 0 0 4.5 4.500l3-3M15 13.500l3-3A3.2 3.2 0 0 0 13.5 6l-3 3",
  list: "M8 7h12M8 12h12M8 17h12M4 7v.1M4 12v.1M4 17v.1",
  key: "M8 16.500a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 12.500h9M18 12.500v3.5",
  business: "M4 20V9l8-5 8 5v11M4 20h16M9.5 20v-5h5v5M8 11v.1M12 11v.1M16 11v.1",
  bell: "M6.5 16.500V11a5.5 5.5 0 0 1 11 0v5.500l1.5 1.500H5l1.5-1.500ZM10.5 20.500h3",
  help: "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM9.7 9.700c.2-1.3 1.1-2 2.3-2s2.3.8 2.3 2c0 1.7-2.3 1.8-2.3 3.600M12 16.200v.1",
  drive: "M5 6h14l2 8v4H3v-4l2-8ZM3 14h18M17 16v.1",
  verified: "M12 3l2.3 1.8 2.9-.2.8 2.8 2.4 1.6-1 2.8 1 2.7-2.4 1.6-.8 2.8-2.9-.1L12 21l-2.3-2.2-2.9.1-.8-2.8-2.4-1.6 1-2.7-1-2.800L6 7.400l.8-2.8 2.9.2L12 3ZM8.7 12.200l2.3 2.3 4.3-4.6",
  signal: "M4 19v-3M9 19v-6M14 19V9.500M19 19V5",
  phone: "M8 3.500h8a1 1 0 0 1 1 1v15a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1v-15a1 1 0 0 1 1-1ZM11 17.800h2",
  moon: "M19.5 14.500A8 8 0 0 1 9.5 4.500a8 8 0 1 0 10 10Z",
};

export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A round picture of initials; the colour comes from the name's letters, so it stays. */
export function avatar(name, mark) {
  const words = name.replace(/[^\p{L}\p{N} ]/gu, "").split(/\s+/).filter(Boolean);
  const initials = words.length ? [words[0], words.length > 1 ? words.at(-1) : ""].map((w) => w.slice(0, 1)).join("") : "+";
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  const element = h("span", { class: mark ? "avatar official" : "avatar", "aria-hidden": "true" }, mark ? icon(mark) : initials.toUpperCase());
  element.style.setProperty("--hue", hue);
  return element;
}

/**
 * Keeps the children of an element in step with a list: an item with the same key and signature keeps its node, and
 * with it the focus, the player that plays and the picture that is loaded.
 */
export function reconcile(parent, items, make) {
  const known = (parent.known ??= new Map());
  const next = new Map();
  items.forEach((item, index) => {
    const old = known.get(item.key);
    const entry = old?.signature === item.signature ? old : { signature: item.signature, node: make(item) };
    next.set(item.key, entry);
    const here = parent.children[index];
    if (here !== entry.node) {
      if (old && old.node === here) here.replaceWith(entry.node);
      else parent.insertBefore(entry.node, here ?? null);
    }
  });
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  parent.known = next;
}

export function toast(text, bad = false) {
  const element = h("p", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), bad ? 7000 : 3000);
}

/** A handler that shows what went wrong instead of failing silently. */
export function tried(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      toast(error.message, true);
      return undefined;
    }
  };
}

/** Asks in a dialog; answers the form's values, or null. `fields` are nodes with names. */
export function ask({ title, text, fields = [], yes = "OK", no = "Cancel", danger = false, within = document.body }) {
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", {}, title),
      text && h("p", {}, text),
      fields,
      h(
        "div",
        { class: "buttons" },
        no && h("button", { class: "button ghost", value: "", formnovalidate: true, type: "submit" }, no),
        h("button", { class: danger ? "button danger" : "button", value: "yes", type: "submit" }, yes),
      ),
    );
    const dialog = h("dialog", { class: "dialog" }, form);
    // Enter in a field must mean yes: the browser presses the first submit button, which is the other one.
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input")) {
        event.preventDefault();
        form.requestSubmit(form.querySelector("button[value=yes]"));
      }
    });
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null);
      dialog.remove();
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    within.append(dialog);
    dialog.showModal();
    (form.querySelector("input,select,textarea") ?? form.querySelector("button[value=yes]")).focus();
  });
}

export function field(label, control, hint) {
  return h("label", { class: "field" }, h("span", {}, label), control, hint && h("small", {}, hint));
}

// ---- how times and numbers are said ------------------------------------------------------------------------------

const date = (at) => new Date(at * 1000);
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const SHORT = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "2-digit", year: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

export const hm = (at) => CLOCK.format(date(at));
export const hms = (at) => SECONDS.format(date(at));
export const full = (at) => FULL.format(date(at));

const midnight = (at) => date(at).setHours(0, 0, 0, 0);
const daysAgo = (at, now) => Math.round((midnight(now) - midnight(at)) / 86400000);

/** The name of a day: Today, Yesterday, Monday, 3 May 2026. */
export function day(at, now) {
  const ago = daysAgo(at, now);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return ago > 1 && ago < 7 ? WEEKDAY.format(date(at)) : DAY.format(date(at));
}

/** When, for a list: the hour of today, else the day. */
export function when(at, now) {
  const ago = daysAgo(at, now);
  if (ago === 0) return hm(at);
  return ago === 1 || (ago > 1 && ago < 7) ? day(at, now) : SHORT.format(date(at));
}

/** +1 415 555 0142: the last four digits, and threes before them. */
export function number(digits) {
  const code = digits.startsWith("1") && digits.length === 11 ? 1 : 2;
  const head = digits.slice(code, -4).replace(/\B(?=(\d{3})+$)/g, " ");
  return `+${digits.slice(0, code)} ${head} ${digits.slice(-4)}`.replace(/ +/g, " ");
}
