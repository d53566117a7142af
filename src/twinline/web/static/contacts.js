// The list of contacts: what a condition asks for, and what is done with those that are marked.

import "./countries.js";

const condition = document.querySelector("[data-condition]");
if (condition) {
  const form = condition.form;
  const ask = () => {
    const takes = condition.selectedOptions[0].dataset.takes.split(" ");
    for (const part of form.querySelectorAll("[data-kind]")) {
      const wanted = takes.includes(part.dataset.kind);
      part.hidden = !wanted;
      for (const input of part.querySelectorAll("input, select")) {
        input.disabled = !wanted;
        input.required = wanted;
      }
    }
  };
  condition.addEventListener("change", ask);
  ask();
}

const found = document.getElementById("found");
const everybody = found?.querySelector("[data-mark-all]");
if (everybody) {
  const boxes = [...found.querySelectorAll("input[name=contact]")];
  const tools = found.querySelector(".with-marked");
  const count = found.querySelector("[data-count]");
  const total = count.textContent;
  const look = () => {
    const marked = boxes.filter((box) => box.checked).length;
    tools.hidden = marked === 0;
    for (const input of tools.querySelectorAll("input")) input.disabled = marked === 0;
    count.textContent = marked === 0 ? total : `${marked} of ${total}`;
    everybody.checked = marked === boxes.length;
    everybody.indeterminate = marked > 0 && marked < boxes.length;
  };
  everybody.addEventListener("change", () => {
    for (const box of boxes) box.checked = everybody.checked;
    look();
  });
  found.addEventListener("change", look);
  look();
}
