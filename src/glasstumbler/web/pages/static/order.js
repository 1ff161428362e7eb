// An order's page, live: parts that changed are put in place of the old ones, countdowns run, buttons do not reload.
// Without this file the page refreshes itself and its forms post as forms do.
"use strict";
(() => {
  const live = document.getElementById("live");
  const summary = document.getElementById("summary");
  const RETRY_MS = 5000;
  let offset = 0; // the laboratory's clock less this browser's, seconds
  let source = null;

  function setClock() {
    offset = Number(document.getElementById("live-state").dataset.now) - Date.now() / 1000;
  }

  function span(seconds) {
    if (seconds <= 0) return "now";
    const [d, h, m, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
    if (d) return `${d} d ${h} h`;
    if (h) return `${h} h ${m} min`;
    return m ? `${m} min ${s} s` : `${s} s`;
  }

  function tick() {
    const now = Date.now() / 1000 + offset;
    for (const each of live.querySelectorAll(".countdown")) each.textContent = span(Math.round(Number(each.dataset.until) - now));
  }

  function put(fresh) {
    const held = document.activeElement?.id;
    for (const part of [...fresh.children]) {
      const old = document.getElementById(part.id);
      if (!old || old.dataset.as === part.outerHTML) continue;
      const as = part.outerHTML;
      for (const open of old.querySelectorAll("details[open]")) part.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
      for (const field of old.querySelectorAll("select")) {
        const same = part.querySelector(`#${CSS.escape(field.id)}`);
        if (same) same.value = field.value;
      }
      part.dataset.as = as;
      old.replaceWith(part);
    }
    if (held && document.activeElement?.id !== held) (document.getElementById(held) || document.getElementById("live-state")).focus?.();
    setClock();
    tick();
    const said = `${live.querySelector(".headline strong").textContent}. ${document.getElementById("todo").textContent}`;
    if (summary.textContent !== said) summary.textContent = said;
    document.title = document.title.replace(/, .* - /, `, ${live.querySelector(".headline strong").textContent} - `);
  }

  function parsed(html) {
    return new DOMParser().parseFromString(html, "text/html");
  }

  function putPage(html) {
    const page = parsed(html).getElementById("live");
    if (!page) return false;
    live.dataset.mark = page.dataset.mark;
    put(page);
    return true;
  }

  function listen() {
    source = new EventSource(live.dataset.events);
    source.addEventListener("order", (event) => {
      if (event.lastEventId === live.dataset.mark) return;
      live.dataset.mark = event.lastEventId;
      put(parsed(event.data).body);
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(again, RETRY_MS); // refused: it does not try again by itself
    };
  }

  async function again() {
    try {
      const answer = await fetch(location.href);
      if (answer.ok) putPage(await answer.text());
    } catch { /* the laboratory is away */ }
    listen();
  }

  async function copy(button) {
    const text = document.getElementById(button.dataset.copies).textContent;
    try { await navigator.clipboard.writeText(text); } catch { return; }
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
    summary.textContent = "Copied.";
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copies]");
    if (button) copy(button);
  });

  document.addEventListener("submit", async (event) => {
    if (!event.target.closest("#live-hands") || !event.submitter) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(event.target, event.submitter));
    const hands = document.getElementById("live-hands");
    hands.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(event.target.action, { method: "POST", body });
      if (!putPage(await answer.text())) location.reload();
    } catch {
      summary.textContent = "The laboratory does not answer.";
    }
    hands.removeAttribute("aria-busy");
  });

  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) again(); });
  for (const part of live.children) part.dataset.as = part.outerHTML;
  setClock();
  tick();
  setInterval(tick, 1000);
  listen();
})();
