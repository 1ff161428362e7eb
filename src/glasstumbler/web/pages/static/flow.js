// The pictures of the glass: zoom, drag, arrow keys along the lines, the chosen box in words. Without it they stand still.
"use strict";
(() => {
  const LEAST = 0.3, MOST = 3, STEP = 1.25;
  const panel = document.getElementById("panel");
  let chosen = null;

  const make = (name, text) => {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    return element;
  };

  function choose(box) {
    if (chosen) chosen.classList.remove("chosen");
    chosen = box;
    panel.hidden = !box;
    if (!box) return;
    box.classList.add("chosen");
    const row = document.getElementById(box.dataset.row);
    const heads = row.closest("table").querySelectorAll("thead th");
    const facts = make("dl");
    facts.className = "facts";
    [...row.querySelectorAll("td")].forEach((cell, place) => {
      if (!cell.textContent.trim()) return;
      const said = make("dd");
      said.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
      facts.append(make("dt", heads[place + 1].textContent), said);
    });
    panel.replaceChildren(make("h3", row.querySelector("th").textContent), facts);
  }

  function begin(flow) {
    const view = flow.querySelector(".view"), svg = flow.querySelector("svg");
    const boxes = [...svg.querySelectorAll(".box")], lines = [...svg.querySelectorAll(".lines path")];
    const byKey = new Map(boxes.map((box) => [box.dataset.key, box]));
    const width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height;
    let scale = 1;

    // -- zoom: the picture's own size; where it is larger than its window the window scrolls
    function zoom(to, x = view.clientWidth / 2, y = view.clientHeight / 2) {
      const before = scale;
      scale = Math.min(MOST, Math.max(LEAST, to));
      const left = (view.scrollLeft + x) * scale / before - x, top = (view.scrollTop + y) * scale / before - y;
      svg.setAttribute("width", width * scale);
      svg.setAttribute("height", height * scale);
      view.scrollTo(left, top);
    }
    const fit = () => zoom(Math.min(1.4, (view.clientWidth - 18) / width, (Math.max(view.clientHeight, innerHeight * 0.7) - 18) / height));
    flow.querySelector(".tools").hidden = false;
    flow.addEventListener("click", (event) => {
      const button = event.target.closest("[data-zoom]");
      if (!button) return;
      if (button.dataset.zoom === "fit") fit();
      else zoom(button.dataset.zoom === "in" ? scale * STEP : scale / STEP);
    });
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const place = view.getBoundingClientRect();
      zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
    }, { passive: false });

    // -- drag with the mouse; fingers scroll by themselves, two of them zoom
    const fingers = new Map();
    let held = null, moved = false, apart = 0;
    view.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      moved = false;
      if (event.pointerType === "mouse" && event.button === 0) held = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop };
    });
    addEventListener("pointermove", (event) => {
      if (held) {
        const x = event.clientX - held.x, y = event.clientY - held.y;
        if (Math.abs(x) + Math.abs(y) > 4) { moved = true; view.classList.add("held"); }
        if (moved) view.scrollTo(held.left - x, held.top - y);
      }
    });
    const release = (event) => { fingers.delete(event.pointerId); held = null; view.classList.remove("held"); };
    addEventListener("pointerup", release);
    addEventListener("pointercancel", release);
    const spread = (touches) => Math.hypot(touches[0].clientX - touches[1].clientX, touches[0].clientY - touches[1].clientY);
    view.addEventListener("touchstart", (event) => { if (event.touches.length === 2) apart = spread(event.touches) / scale; }, { passive: true });
    view.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 2) return;
      event.preventDefault();
      const place = view.getBoundingClientRect(), [one, two] = event.touches;
      zoom(spread(event.touches) / apart, (one.clientX + two.clientX) / 2 - place.left, (one.clientY + two.clientY) / 2 - place.top);
    }, { passive: false });
    svg.addEventListener("dragstart", (event) => event.preventDefault());

    // -- one box at a time takes the focus; arrows go along the lines
    const ends = (key, from, to) => lines.filter((line) => line.dataset[from] === key).map((line) => byKey.get(line.dataset[to]));
    const high = (box) => Number(box.querySelector("rect").getAttribute("y"));
    function near(box, keys) {
      const found = keys.sort((one, other) => Math.abs(high(one) - high(box)) - Math.abs(high(other) - high(box)));
      return found[0];
    }
    function beside(box, step) {
      const column = boxes.filter((each) => each.dataset.column === box.dataset.column);
      return column[column.indexOf(box) + step];
    }
    const go = {
      ArrowRight: (box) => near(box, ends(box.dataset.key, "start", "end")),
      ArrowLeft: (box) => near(box, ends(box.dataset.key, "end", "start")),
      ArrowDown: (box) => beside(box, 1),
      ArrowUp: (box) => beside(box, -1),
      Home: () => boxes[0],
      End: () => boxes[boxes.length - 1],
    };
    function focus(box) {
      boxes.forEach((each) => each.setAttribute("tabindex", each === box ? "0" : "-1"));
    }
    function light(box) {
      lines.forEach((line) => line.classList.toggle("lit", Boolean(box) && [line.dataset.start, line.dataset.end].includes(box.dataset.key)));
    }
    focus(boxes[0]);
    boxes.forEach((box) => {
      box.addEventListener("focus", () => { focus(box); light(box); });
      box.addEventListener("blur", () => light(null));
      box.addEventListener("pointerenter", () => light(box));
      box.addEventListener("pointerleave", () => light(document.activeElement === box ? box : null));
      box.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        if (!moved) choose(box);
      });
      box.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.altKey || event.metaKey) return;
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(box); return; }
        if (event.key === "Escape") { choose(null); return; }
        const next = go[event.key] && go[event.key](box);
        if (!go[event.key]) return;
        event.preventDefault();
        if (next) next.focus();
      });
    });
  }

  document.querySelectorAll(".flow").forEach(begin);
  document.querySelectorAll(".hint").forEach((hint) => { hint.hidden = false; });
})();
