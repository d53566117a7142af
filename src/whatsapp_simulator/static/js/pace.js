// How fast numbers speak: their last minute, second by second, and its busiest second against the limit.

import { clock, get } from "./api.js";
import { fill, h, hms } from "./dom.js";

const SPAN = 60;
const MOST = 12;
const HEIGHT = 44;
const SVG = "http://www.w3.org/2000/svg";

/** Draws the lines of the numbers that spoke in the last minute, the busiest first. */
export async function drawPace(element, phones) {
  const until = Math.floor(clock.now()) + 1;
  const { phones: told } = await get(`/control/pacing?since=${until - SPAN}&seconds=1`);
  const busy = told.filter((one) => one.busiest).sort((a, b) => b.out + b.in - a.out - a.in);
  const shown = busy.slice(0, MOST).map((one) => line(one, phones.find(({ id }) => id === one.phone), until));
  fill(element, shown, busy.length > MOST && h("p", { class: "note" }, `and ${busy.length - MOST} more`));
}

function line(one, phone, until) {
  const full = one.busiest.messages >= one.limit;
  const worst = h("span", { class: one.above ? "pill bad" : full ? "pill warn" : "pill good", title: `from ${hms(one.busiest.from)}` }, `${one.busiest.messages} of ${one.limit} in a second`);
  const counts = [`${one.out} out`, one.in && `${one.in} in`, one.too_fast && `${one.too_fast} too fast`, one.pair && `${one.pair} to one person too fast`].filter(Boolean).join(" · ");
  return h("div", { class: "pace" }, h("span", {}, h("b", {}, phone?.name ?? one.phone), h("small", {}, counts)), bars(one, until), worst);
}

/** One bar a second: what came in, what went out upon it, what was refused on top. */
function bars({ seconds, limit, out }, until) {
  const most = Math.max(limit, ...seconds.map(([, ...counts]) => counts.reduce((a, b) => a + b)));
  const scale = HEIGHT / most;
  const parts = seconds.flatMap(([second, ...counts]) => {
    let below = 0;
    return ["in", "out", "refused"].map((kind, index) => {
      const count = counts[[1, 0, 2][index]];
      below += count;
      return count && draw("rect", { class: kind, x: 2 * (SPAN - until + second), width: 1.6, y: HEIGHT - below * scale, height: count * scale });
    });
  });
  const allowed = draw("line", { class: "limit", x1: 0, x2: 2 * SPAN, y1: HEIGHT - limit * scale, y2: HEIGHT - limit * scale });
  const chart = draw("svg", { viewBox: `0 0 ${2 * SPAN} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${out} messages went out in the last minute` });
  chart.append(...parts.filter(Boolean), allowed);
  return chart;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
