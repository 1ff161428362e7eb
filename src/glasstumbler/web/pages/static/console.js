// Makes the console quicker: answers appear beside what was sent, curl lines can be copied, the log of requests is live.
// Without it, forms post and pages are loaded anew.
"use strict";

async function send(form) {
  const place = document.getElementById(form.dataset.result);
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "x-fragment": "1" },
      body: new URLSearchParams(new FormData(form)),
    });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector("main") || page.body;
    place.replaceChildren(...found.childNodes);
    uncover(place);
    if (place.getBoundingClientRect().top < 0) place.scrollIntoView({ block: "nearest" });
  } catch {
    place.textContent = "The laboratory does not answer.";
  } finally {
    button.disabled = false;
  }
}

function uncover(within) {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("button.copy")) button.hidden = false;
}

async function refresh() {
  const live = document.getElementById("live");
  const shown = document.getElementById("requests");
  if (!live.checked || document.hidden || shown.contains(document.activeElement)) return;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("requests");
    if (fresh && fresh.dataset.live !== shown.dataset.live) shown.replaceWith(fresh);
  } catch {
    // the next look may find it again
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("form.call")) {
    event.preventDefault();
    send(event.target);
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
  button.textContent = "Copied";
});

uncover(document);
const opened = document.getElementById(location.hash.slice(1));
if (opened && opened.matches("details")) opened.open = true;
if (document.getElementById("requests")) {
  document.querySelector("label.live").hidden = false;
  setInterval(refresh, 2000);
}
