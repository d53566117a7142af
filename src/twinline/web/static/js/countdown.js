// <time data-countdown data-left="3600">: ticks down to nothing. The server says how many seconds are left, by its own
// clock; the browser only counts them, and says "countdown:over" once when there are none.

function tick() {
  for (const element of document.querySelectorAll("[data-countdown]")) {
    element.endsAt ??= performance.now() + Number(element.dataset.left) * 1000;
    const left = Math.max(0, Math.round((element.endsAt - performance.now()) / 1000));
    const parts = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    element.textContent = parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
    if (performance.now() >= element.endsAt && !element.over) {
      element.over = true;
      element.dispatchEvent(new Event("countdown:over", { bubbles: true }));
    }
  }
}

tick();
setInterval(tick, 1000);
