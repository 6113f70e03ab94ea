// The console's own script: what htmx asks for is the server's work, this shows it and says what came of it.
"use strict";

(() => {
  const body = document.body;
  const dialog = document.getElementById("dialog");
  const said = document.getElementById("said");
  const offline = document.getElementById("offline");
  const MOST_EVENTS = 500;

  // Times: the server writes the instant, the reader's clock says how far away it is.
  const STEPS = [["s", 60], ["min", 60], ["h", 24], ["d", Infinity]];
  const amount = (seconds) => {
    let left = Math.max(0, Math.round(seconds));
    let text = "";
    let rest = 0;
    for (const [unit, size] of STEPS) {
      if (left < size) {
        text = rest && unit !== "min" ? `${left} ${unit} ${rest}` : `${left} ${unit}`;
        break;
      }
      rest = unit === "min" ? `${left % size} min` : unit === "h" ? `${left % size} h` : 0;
      left = Math.floor(left / size);
    }
    return text;
  };
  const words = (time) => {
    const at = new Date(time.dateTime);
    if (time.hasAttribute("data-clock")) {
      return at.toTimeString().slice(0, 8);
    }
    const away = (at - Date.now()) / 1000;
    if (time.hasAttribute("data-until") || (time.hasAttribute("data-either") && away > 0)) {
      return away > 0 ? `in ${amount(away)}` : "now";
    }
    return -away < 2 ? "just now" : `${amount(-away)} ago`;
  };
  const tellTimes = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const text = words(time);
      if (time.textContent !== text) {
        time.textContent = text;
      }
    }
  };
  tellTimes();
  setInterval(tellTimes, 1000);
  new MutationObserver(tellTimes).observe(body, { childList: true, subtree: true }); // before it is painted

  // What was done, or went wrong.
  let hush = 0;
  const say = (text, failed) => {
    clearTimeout(hush);
    said.classList.toggle("failed", Boolean(failed));
    said.textContent = text;
    hush = setTimeout(() => { said.textContent = ""; }, failed ? 8000 : 4000);
  };
  body.addEventListener("clawguard:done", (event) => {
    dialog.close();
    say(event.detail.said);
  });

  // Pieces that ask again: not while nobody looks, nor while the log is paused.
  body.addEventListener("htmx:beforeRequest", (event) => {
    const piece = event.detail.elt;
    if (piece.hasAttribute("data-poll") && (document.hidden || piece.closest("[data-paused]"))) {
      event.preventDefault();
    }
  });
  // What does not come any more is said as long as it does not, whatever else does.
  const LOST = offline.textContent;
  const failing = new Map();
  const noteFailing = (piece, text) => {
    failing.delete(piece.id);
    if (text) {
      failing.set(piece.id, text);
    }
    const [first] = failing.values();
    offline.hidden = !first;
    offline.textContent = first || LOST;
  };
  const lost = (event) => { noteFailing(event.detail.elt, LOST); };
  body.addEventListener("htmx:sendError", lost);
  body.addEventListener("htmx:timeout", lost);
  body.addEventListener("htmx:responseError", (event) => {
    const piece = event.detail.elt;
    const answer = event.detail.xhr;
    const text = answer.responseText.slice(0, 300);
    if (answer.status === 401) {
      return; // htmx goes where the answer says
    }
    if (piece.hasAttribute("data-poll")) {
      noteFailing(piece, answer.status >= 500 ? LOST : `What is shown may be old: ${text}.`);
    } else if (piece.getAttribute("hx-trigger") === "load") {
      piece.textContent = text;
    } else {
      dialog.close();
      say(text, true);
    }
  });
  body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) {
      noteFailing(event.detail.elt, "");
    }
  });

  // Rows that were not there before light up.
  let known = null;
  const rowsOf = () => [...document.querySelectorAll("[data-rows] tr[data-id]")];
  const note = () => { known = new Set(rowsOf().map((row) => row.dataset.id)); };
  note();
  body.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.elt.hasAttribute("data-rows")) {
      for (const row of rowsOf()) {
        row.classList.toggle("fresh", !known.has(row.dataset.id));
      }
      note();
    }
    const events = document.getElementById("events");
    while (events && events.children.length > MOST_EVENTS) {
      events.lastElementChild.remove();
    }
  });
  body.addEventListener("htmx:afterSettle", (event) => { // only now does htmx send what its form is given
    if (event.detail.target.id === "dialog-body" && !dialog.open) {
      dialog.showModal();
    }
  });

  // Buttons of the page's own.
  const pause = (button) => {
    const is = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(is));
    button.textContent = is ? "Paused" : "Pause";
    document.getElementById("tail").toggleAttribute("data-paused", is);
  };
  const copy = async (button) => {
    await navigator.clipboard.writeText(button.dataset.copy);
    say("Copied.");
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) {
      if (event.target === dialog) {
        dialog.close(); // the ground behind it
      }
    } else if (button.id === "pause") {
      pause(button);
    } else if (button.hasAttribute("data-copy")) {
      copy(button).catch(() => say("The browser does not let pages copy.", true));
    } else if (button.hasAttribute("data-close")) {
      dialog.close();
    }
  });
})();
