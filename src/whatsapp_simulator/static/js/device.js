// The device around the app: its status bar, its screens by address (the part after #), the panel of controls.

import { clock } from "./api.js";
import { fill, h, hm, icon } from "./dom.js";

const screen = document.getElementById("screen");

/** Routes: pattern → screen. A pattern's `*` is handed over. Back is the browser's own. */
export class Device {
  constructor(routes, { tabs = [], home }) {
    this.routes = Object.entries(routes);
    this.tabs = tabs;
    this.home = home;
    this.time = h("b", {});
    this.view = h("div", { class: "view" });
    this.nav = h("nav", { class: "tabs", "aria-label": "App" });
    screen.replaceChildren(h("div", { class: "status-bar", "aria-hidden": "true" }, this.time, h("span", {}, icon("signal"), h("i", { class: "battery" }))), this.view, this.nav);
    addEventListener("hashchange", () => this.go());
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector(":popover-open, dialog[open]")) {
        const back = this.view.querySelector("a[aria-label=Back]");
        if (back) location.hash = back.hash;
      }
    });
    setInterval(() => this.tick(), 1000);
    this.tick();
    panel();
  }

  tick() {
    this.time.textContent = hm(clock.now());
  }

  get address() {
    return location.hash || this.home;
  }

  go() {
    const { address } = this;
    for (const [pattern, make] of this.routes) {
      const [start, end] = pattern.split("*");
      const wild = end !== undefined;
      if (wild ? address.startsWith(start) : address === pattern) {
        this.current?.leave?.();
        this.current = make(wild ? decodeURIComponent(address.slice(start.length)) : undefined);
        this.view.replaceChildren(...[this.current.element].flat());
        this.drawTabs(this.current.tab);
        this.view.querySelector("[autofocus]")?.focus();
        return;
      }
    }
    location.replace(this.home);
  }

  /** Draws the screen again when what it shows has changed. */
  update() {
    this.current?.update?.();
    this.drawTabs(this.current?.tab);
  }

  drawTabs(current) {
    this.nav.hidden = !current;
    if (!current) return;
    fill(this.nav, ...this.tabs.map(({ id, name, mark, address, count }) => {
        const many = count?.() || 0;
        return h("a", { href: address, "aria-current": id === current ? "page" : null }, h("span", { class: "tab-icon" }, icon(mark), many > 0 && h("i", { class: "count" }, many > 99 ? "99+" : many)), name);
      }),
    );
  }
}

/** A screen with a title bar. */
export function page({ title, back, actions = [], large = false }, ...body) {
  return [
    h("header", { class: large ? "head large" : "head" }, back ? h("a", { class: "tool", href: back, "aria-label": "Back" }, icon("back")) : null, h("h1", {}, title), h("span", { class: "actions" }, actions)),
    h("div", { class: "body" }, body),
  ];
}

/** A row of a settings list. */
export function item({ mark, title, note, href, onclick, danger, end }) {
  const inside = [mark && h("span", { class: "item-icon" }, icon(mark)), h("span", { class: "item-text" }, h("b", {}, title), note && h("small", {}, note)), end ?? (href && icon("forward"))];
  const style = { class: danger ? "item danger" : "item" };
  if (href) return h("a", { ...style, href }, inside);
  return onclick ? h("button", { ...style, type: "button", onclick }, inside) : h("div", style, inside);
}

/** At 390 px the controls lie over the page and come when called. */
function panel() {
  const button = document.getElementById("open-controls");
  const controls = document.getElementById("controls");
  const toggle = (open) => {
    document.body.classList.toggle("controls-open", open);
    button.setAttribute("aria-expanded", open);
    if (open) controls.focus();
  };
  controls.tabIndex = -1;
  button.addEventListener("click", () => toggle(!document.body.classList.contains("controls-open")));
  controls.addEventListener("keydown", (event) => event.key === "Escape" && (toggle(false), button.focus()));
  controls.addEventListener("click", (event) => event.target.closest("[data-closes]") && toggle(false));
}

export const group = (title, ...rows) => h("section", { class: "group" }, title && h("h2", {}, title), h("div", { class: "card" }, rows));
