// Keeps the parts marked data-live as the server would show them now, but for what the reader did there: what is
// unfolded stays so, and a form that is being filled in stays as it is.
import { poll } from "./poll.js";

export function keepLive(lostNotice) {
  const address = new URL(document.body.dataset.page, location.href); // not where a refused form was posted to
  address.searchParams.set("part", "live");
  const headers = { Accept: "text/html" };
  poll(async () => {
    let text = "";
    try {
      const answer = await fetch(address, { headers });
      if (answer.status !== 304) {
        if (!answer.ok) throw new Error(`${answer.status}`);
        text = await answer.text();
        headers["If-None-Match"] = answer.headers.get("ETag") ?? "";
      }
    } catch {
      lostNotice.hidden = false;
      return false;
    }
    lostNotice.hidden = true;
    return text !== "" && update(new DOMParser().parseFromString(text, "text/html"));
  }, { first: document.querySelector("#job-head:not([data-final])") ? 250 : 1000, latest: 5000 });
  document.addEventListener("input", ({ target }) => {
    target.closest("[data-live] form")?.setAttribute("data-edited", "");
  });
}

// Others hear of what came before it is on the page, so that they can make it what they made of the page.
function update(fresh) {
  let changed = false;
  document.dispatchEvent(new CustomEvent("live:fresh", { detail: fresh }));
  if (!document.querySelector("#error")) document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(part.id);
    if (!now) continue;
    takeOver(part, now);
    if (now.isEqualNode(part)) continue;
    const hadFocus = part.contains(document.activeElement);
    become(part, now);
    if (hadFocus && !part.contains(document.activeElement)) part.focus({ preventScroll: true });
    changed = true;
  }
  if (changed) document.dispatchEvent(new CustomEvent("live:updated"));
  return changed;
}

// Has the fresh part hold what the reader did to the one on the page. What is restless becomes as it is now, and is
// no change: it would have the page asked for every second.
function takeOver(part, now) {
  for (const old of part.querySelectorAll("[data-restless]")) {
    const same = now.querySelector(`#${old.id}`);
    if (same) become(old, same.cloneNode(true));
  }
  for (const fold of part.querySelectorAll("details[id]")) {
    const same = now.querySelector(`#${fold.id}`);
    if (same) same.open = fold.open;
  }
  for (const form of part.querySelectorAll("form[id]")) {
    if (isBeingFilledIn(form)) now.querySelector(`#${form.id}`)?.replaceWith(form.cloneNode(true));
  }
}

// A date that is not complete yet has made no input event: what has the focus counts too.
function isBeingFilledIn(form) {
  const active = document.activeElement;
  return form.hasAttribute("data-edited") || (form.contains(active) && active.matches("input, select, textarea"));
}

// Changes only what differs: a button that stays is not exchanged between press and release, a picture not loaded
// again. What has a data-key only ever becomes what has the same: Stop never turns into another button in place.
function become(old, now) {
  if (old.isEqualNode(now)) return;
  if (old.nodeName !== now.nodeName || old.nodeType !== Node.ELEMENT_NODE) return old.replaceWith(now);
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const wanted = new Set([...now.children].map(key));
  const held = new Map();
  for (const child of [...old.children]) {
    if (!key(child)) continue;
    if (wanted.has(key(child))) held.set(key(child), child);
    else child.remove();
  }
  let place = old.firstChild;
  for (const child of [...now.childNodes]) {
    const same = key(child) ? held.get(key(child)) : place && !key(place) ? place : null;
    if (!same) {
      old.insertBefore(child, place);
    } else if (same === place) {
      place = place.nextSibling;
      become(same, child);
    } else {
      old.insertBefore(same, place);
      become(same, child);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

const key = (node) => node.dataset?.key ?? "";
