// <time datetime="…" data-time="clock|list|day|ago|full|date">: shown in the reader's own zone and language.
// The server writes UTC, so a page without this still tells the truth.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dated = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const long = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

// Whole pages say what time it is by the platform's clock; the reader's may be wrong.
const platform = Date.parse(document.querySelector("meta[name=now]")?.content);
const ahead = Number.isNaN(platform) ? 0 : platform - Date.now();
const now = () => Date.now() + ahead;

const midnight = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate());
/** Whole days between a moment and today, by the calendar. */
const daysAgo = (at) => Math.round((midnight(new Date(now())) - midnight(at)) / 86_400_000);
const capital = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

const styles = {
  clock: (at) => clock.format(at),
  date: (at) => dated.format(at),
  full: (at) => full.format(at),
  day(at) {
    const days = daysAgo(at);
    if (days >= 0 && days < 2) return capital(relative.format(-days, "day"));
    return days >= 2 && days < 7 ? capital(weekday.format(at)) : long.format(at);
  },
  list(at) {
    const days = daysAgo(at);
    if (days <= 0) return clock.format(at);
    if (days === 1) return capital(relative.format(-1, "day"));
    if (days < 7) return capital(weekday.format(at));
    return (at.getFullYear() === new Date(now()).getFullYear() ? short : dated).format(at);
  },
  // "14:20", or "Tuesday 14:20" when that isn't today.
  until: (at) => (daysAgo(at) === 0 ? clock.format(at) : `${weekday.format(at)} ${clock.format(at)}`),
  ago(at) {
    const seconds = (at - now()) / 1000;
    for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
      if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
    }
    return relative.format(Math.trunc(seconds), "second");
  },
};

export function localise(root = document) {
  for (const element of root.querySelectorAll("time[data-time]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const text = styles[element.dataset.time]?.(at) ?? full.format(at);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title && element.dataset.time !== "full") element.title = full.format(at);
  }
}

export const dayText = (at) => styles.day(at);
export const dayKey = (at) => midnight(at).getTime();

localise();
document.addEventListener("htmx:load", (event) => localise(event.detail.elt));
setInterval(localise, 30_000);
