// Enlivens pages that work without it: what changes is fetched anew, a running log grows, a rollback asks first.
"use strict";

(() => {
  const LOG_LINES = 2000;

  // ---- times ------------------------------------------------------------------------------------------------------
  // The same words as receiver/web/texts.py has.
  function ago(passed) {
    if (passed < 5) return "just now";
    if (passed < 60) return `${Math.round(passed)} s ago`;
    if (passed < 3600) return `${Math.round(passed / 60 - 0.5)} min ago`;
    if (passed < 86400) return `${Math.round(passed / 3600 - 0.5)} h ago`;
    return `${Math.round(passed / 86400 - 0.5)} d ago`;
  }

  function duration(seconds) {
    if (seconds < 0.0995) return `${Math.round(Math.max(seconds, 0) * 1000)} ms`;
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  }

  function tellTimes() {
    const now = Date.now() / 1000;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const passed = now - Number(time.dataset.ago);
      if (passed > -5 && passed < 14 * 86400) setText(time, ago(passed));
    }
    for (const span of document.querySelectorAll("[data-since]")) {
      setText(span, duration(Math.max(0, Math.round(now - Number(span.dataset.since)))));
    }
  }

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  setInterval(tellTimes, 1000);

  // ---- the part of a page that changes ----------------------------------------------------------------------------
  const part = document.querySelector("[data-live]");
  let timer = 0;
  let fetching = false;

  function seconds() {
    return Number(part?.firstElementChild?.dataset.every ?? 0);
  }

  function plan() {
    clearTimeout(timer);
    if (part && seconds() > 0 && !document.hidden) timer = setTimeout(refresh, seconds() * 1000);
  }

  function isInUse() {
    const active = document.activeElement;
    return document.querySelector("dialog[open]") !== null || (part.contains(active) && active.matches("select"));
  }

  async function refresh() {
    if (!part || fetching || isInUse()) return plan();
    fetching = true;
    try {
      const answer = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
      if (answer.status === 401) return location.reload();
      if (answer.ok) replace(await answer.text());
    } catch {
      // The receiver may be starting anew: the next try tells.
    } finally {
      fetching = false;
      plan();
    }
  }

  function replace(html) {
    if (isInUse()) return;
    const key = keyOf(document.activeElement);
    const opened = [...part.querySelectorAll("details[open]")].map((each) => each.id);
    const choices = [...part.querySelectorAll("select[id]")].map((each) => [each.id, each.value]);
    // Text of our own server, in which every word from outside is escaped.
    part.innerHTML = html;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, value] of choices) {
      const select = document.getElementById(id);
      if (select && [...select.options].some((option) => option.value === value)) select.value = value;
    }
    if (key) part.querySelector(key)?.focus({ preventScroll: true });
    tellTimes();
  }

  function keyOf(element) {
    if (!element || !part.contains(element)) return "";
    if (element.id) return `#${CSS.escape(element.id)}`;
    const href = element.getAttribute("href");
    return href ? `[href="${CSS.escape(href)}"]` : "";
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  plan();

  // ---- the log ----------------------------------------------------------------------------------------------------
  const log = document.getElementById("log");

  function isAtEnd() {
    return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function append(line) {
    const item = element("li", `line line-${line.kind}`, "");
    const text = element("span", "line-text", line.text);
    if (line.kind === "done" && line.seconds !== null) {
      text.append(" ", element("span", "line-took", duration(line.seconds)));
    }
    item.append(element("span", "line-at", new Date(line.at * 1000).toISOString().slice(11, 19)), text);
    log.append(item);
    while (log.childElementCount > LOG_LINES) log.firstElementChild.remove();
  }

  function follow() {
    const state = document.getElementById("log-state");
    let position = Number(log.dataset.position);
    let soon = 0;
    // A browser that reconnects sends the last id itself; after a refusal, such as 503, it does not come again.
    const open = () => {
      const source = new EventSource(`${log.dataset.stream}?from=${position}`);
      source.onopen = () => setText(state, "live");
      source.onmessage = (event) => {
        const follows = isAtEnd();
        const line = JSON.parse(event.data);
        position = Number(event.lastEventId);
        document.getElementById("log-nothing")?.remove();
        append(line);
        if (follows) log.scrollTop = log.scrollHeight;
        if (line.kind !== "output") {
          clearTimeout(soon);
          soon = setTimeout(refresh, 150);
        }
      };
      source.addEventListener("end", () => {
        source.close();
        setText(state, "");
        refresh();
      });
      source.onerror = () => {
        setText(state, "connection lost, trying again …");
        if (source.readyState === EventSource.CLOSED) setTimeout(open, 5000);
      };
    };
    open();
  }

  if (log) {
    log.scrollTop = log.scrollHeight;
    if (log.dataset.stream) follow();
  }

  // ---- asking first -----------------------------------------------------------------------------------------------
  const dialog = document.getElementById("ask");
  let asking = null;

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!dialog || !form.dataset.ask || form.querySelector("[name=confirmed]")) return;
    event.preventDefault();
    asking = form;
    document.getElementById("ask-title").textContent = form.dataset.ask;
    document.getElementById("ask-text").textContent = form.dataset.askText;
    dialog.returnValue = "";
    dialog.showModal();
  });

  dialog?.addEventListener("close", () => {
    if (dialog.returnValue !== "yes" || !asking) return;
    const confirmed = document.createElement("input");
    Object.assign(confirmed, { type: "hidden", name: "confirmed", value: "yes" });
    asking.append(confirmed);
    asking.requestSubmit();
  });
})();
