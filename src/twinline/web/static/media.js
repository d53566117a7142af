// Voice messages and other sound: one small player, and only one of them talks at a time.

let current = null;

const shown = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const symbol = (button, name) => button.querySelector("use").setAttribute("href", `/static/icons.svg#${name}`);

export function voices(root) {
  for (const box of root.querySelectorAll(".voice:not([data-ready])")) {
    box.dataset.ready = "yes";
    player(box);
  }
}

function player(box) {
  const [button, bar, output] = [box.querySelector(".play"), box.querySelector("input"), box.querySelector("output")];
  const audio = new Audio();
  audio.preload = "metadata";
  audio.src = box.dataset.src;

  const draw = () => {
    const whole = Number.isFinite(audio.duration) ? audio.duration : 0;
    bar.value = whole ? (audio.currentTime / whole) * 1000 : 0;
    output.textContent = shown(audio.currentTime || whole);
  };
  for (const name of ["timeupdate", "loadedmetadata", "durationchange"]) audio.addEventListener(name, draw);
  audio.addEventListener("play", () => {
    if (current && current !== audio) current.pause();
    current = audio;
    box.classList.add("playing");
    symbol(button, "pause");
    button.setAttribute("aria-label", "Pause");
  });
  for (const name of ["pause", "ended"]) {
    audio.addEventListener(name, () => {
      box.classList.remove("playing");
      symbol(button, "play");
      button.setAttribute("aria-label", "Play");
    });
  }
  audio.addEventListener("error", () => (output.textContent = "can't be played"));
  button.addEventListener("click", () => (audio.paused ? audio.play().catch(() => {}) : audio.pause()));
  bar.addEventListener("input", () => {
    if (Number.isFinite(audio.duration)) audio.currentTime = (bar.value / 1000) * audio.duration;
  });
}
