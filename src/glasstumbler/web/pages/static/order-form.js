// The order form's sliders, and which fields are marked as wrong. Without this file the form works by its text fields.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const tenths = (text) => Math.round(Number(text) * 10);
  const steps = (slider) => (slider.dataset.steps || "").split(",").map(Number);

  function fieldOf(slider) { return document.getElementById(slider.dataset.slides); }

  function follow(slider) {
    const value = Number(fieldOf(slider)?.value);
    if (!Number.isFinite(value)) return;
    if (!slider.dataset.steps) { slider.value = value; return; }
    const all = steps(slider);
    const place = all.findIndex((step) => step >= value);
    slider.value = place < 0 ? all.length - 1 : place;
  }

  function begin() {
    for (const slider of document.querySelectorAll(".slider")) {
      if (slider.dataset.steps) { slider.min = 0; slider.max = steps(slider).length - 1; slider.step = 1; }
      follow(slider);
    }
  }

  // What one share takes, the others give, in proportion; each keeps a tenth of a percent at least.
  function share(slider) {
    const all = [...document.querySelectorAll("[data-shares]")];
    const others = all.filter((each) => each !== slider);
    const mine = others.length ? Math.min(tenths(slider.value), 1000 - others.length) : 1000;
    const before = others.map((each) => Math.max(tenths(fieldOf(each).value) || 1, 1));
    const sum = before.reduce((a, b) => a + b, 0);
    const after = before.map((part) => Math.max(Math.floor((1000 - mine) * part / sum), 1));
    let over = 1000 - mine - after.reduce((a, b) => a + b, 0);
    for (let at = 0; over !== 0 && after.length; at = (at + 1) % after.length) {
      const step = over > 0 ? over : (after[at] > 1 ? -1 : 0);
      after[at] += step;
      over -= step;
    }
    fieldOf(slider).value = mine / 10;
    others.forEach((each, at) => { fieldOf(each).value = after[at] / 10; });
    all.forEach(follow);
  }

  // Each coin has its own limits of the fee, and is the unit of its amounts.
  function suit(coin) {
    const { least, most } = coin.selectedOptions[0].dataset, slider = document.querySelector("[data-slides=fee]");
    if (!least) return;
    slider.min = least;
    slider.max = most;
    follow(slider);
    for (const unit of document.querySelectorAll("[name=amount] + .unit")) unit.textContent = coin.selectedOptions[0].text;
  }

  document.addEventListener("input", (event) => {
    const moved = event.target;
    if (moved.id === "coin") suit(moved);
    if (moved.matches("[data-shares]")) share(moved);
    else if (moved.matches(".slider")) fieldOf(moved).value = moved.dataset.steps ? steps(moved)[moved.value] : moved.value;
    else document.querySelectorAll(`[data-slides="${CSS.escape(moved.id)}"]`).forEach(follow);
  });

  document.addEventListener("htmx:afterSettle", () => {
    begin();
    for (const note of document.querySelectorAll(".note")) {
      const field = document.getElementById(note.id.slice("note-".length));
      if (!field) continue;
      if (note.textContent.trim() && !note.classList.contains("soft")) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
  });
  begin();
})();
