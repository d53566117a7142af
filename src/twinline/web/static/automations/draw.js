// Elements, made in one expression: h("button", { class: "button", onclick: press }, "Add").

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name, more = "") {
  const SVG = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${more}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** A round button with an icon alone. */
export const tool = (name, label, onclick, more = {}) =>
  h("button", { type: "button", class: "button ghost icon-only small", "aria-label": label, title: label, onclick, ...more }, icon(name));

/** A menu that opens below its button. `entries`: [icon, words, action, disabled?]. */
export function menu(label, entries, symbol = "more") {
  const details = h("details", { class: "menu" });
  const close = (action) => () => {
    details.open = false;
    action();
  };
  details.append(
    h("summary", { class: "button ghost icon-only small", "aria-label": label, title: label }, icon(symbol)),
    h("div", { class: "popover right" }, entries.filter(Boolean).map(([name, words, action, keys]) =>
      h("button", { type: "button", onclick: close(action) }, icon(name), h("span", {}, words), keys && h("kbd", { class: "kbd" }, keys)))),
  );
  return details;
}
