// A number's hours, holidays and words: rows come and go, and the bar of each day shows where its hours lie.

const form = document.getElementById("number-settings");
const week = document.getElementById("week");
const days = [...week.querySelectorAll(".week-day")];
const fresh = (name) => document.getElementById(`new-${name}`).content.firstElementChild.cloneNode(true);

function addSpan(day, from = "", to = "") {
  const span = fresh("span");
  const [first, last] = span.querySelectorAll("input");
  first.name = `from.${day.dataset.day}`;
  last.name = `to.${day.dataset.day}`;
  if (from) [first.value, last.value] = [from, to];
  else if (day.querySelector(".span")) [first.value, last.value] = ["", ""];
  day.querySelector(".closed-day").before(span);
  shown(day);
  return first;
}

const minutes = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

function shown(day) {
  const spans = [...day.querySelectorAll(".span")].map((span) => [...span.querySelectorAll("input")].map((input) => input.value));
  day.querySelector(".closed-day").hidden = spans.length > 0;
  day.querySelector(".day-bar").replaceChildren(...spans.filter(([from, to]) => from && to).map(([from, to]) => {
    const bar = document.createElement("i");
    const end = minutes(to) > minutes(from) ? minutes(to) : 1440;
    bar.style.left = `${minutes(from) / 14.4}%`;
    bar.style.width = `${(end - minutes(from)) / 14.4}%`;
    return bar;
  }));
}

/** What a word needs besides: how long, or which automation. */
function fits(row) {
  const does = row.querySelector("[data-does]").value;
  const more = row.querySelector("[data-more]");
  for (const option of more.options) {
    option.hidden = !option.dataset.for.split(" ").includes(does);
    option.disabled = option.hidden;
  }
  if (more.selectedOptions[0]?.disabled) more.value = [...more.options].find((option) => !option.disabled)?.value ?? "";
  more.options[0].textContent = { pause: "as long as after a reply", start: "Choose…" }[does] ?? "";
  more.hidden = does === "release";
}

form.addEventListener("click", ({ target }) => {
  const day = target.closest(".week-day");
  const drop = target.closest("[data-drop]");
  const add = target.closest("[data-add]");
  if (target.closest("[data-add-span]")) addSpan(day).focus();
  else if (target.closest("[data-copy-week]")) {
    const [monday, ...others] = days;
    const spans = [...monday.querySelectorAll(".span")].map((span) => [...span.querySelectorAll("input")].map((input) => input.value));
    for (const other of others.slice(0, 4)) {
      for (const old of other.querySelectorAll(".span")) old.remove();
      for (const [from, to] of spans) addSpan(other, from, to);
      shown(other);
    }
  } else if (drop) {
    const row = drop.closest(drop.dataset.drop);
    row.remove();
    if (day) shown(day);
  } else if (add) {
    const row = fresh(add.dataset.add);
    add.before(row);
    if (row.matches(".keyword-row")) fits(row);
    row.querySelector("input").focus();
  }
});
form.addEventListener("input", ({ target }) => {
  const day = target.closest(".week-day");
  if (day) shown(day);
  if (target.matches("[data-does]")) fits(target.closest(".keyword-row"));
  if (target.id === "open") {
    week.hidden = target.value === "always";
    if (!week.hidden && !week.querySelector(".span")) for (const one of days.slice(0, 5)) addSpan(one, "09:00", "18:00");
  }
});
for (const row of form.querySelectorAll(".keyword-row")) fits(row);
