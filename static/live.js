// Keeps the parts marked data-live as the server would show them now.
import { poll } from "./poll.js";

export function keepLive(lostNotice) {
  const address = new URL(location.href);
  if (!document.querySelector("[data-live]") || address.pathname.endsWith("/launch")) return;
  address.searchParams.set("part", "live");
  address.searchParams.delete("said");
  poll(async () => {
    let text;
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(`${answer.status}`);
      text = await answer.text();
    } catch {
      lostNotice.hidden = false;
      return false;
    }
    lostNotice.hidden = true;
    return replaceChanged(new DOMParser().parseFromString(text, "text/html"));
  }, { latest: 5000 });
}

function replaceChanged(fresh) {
  let changed = false;
  for (const part of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(part.id);
    if (!now || now.outerHTML === part.outerHTML) continue;
    const focused = part.contains(document.activeElement) ? place(part, document.activeElement) : -1;
    part.replaceWith(document.adoptNode(now));
    if (focused >= 0) focusable(now)[focused]?.focus();
    changed = true;
  }
  return changed;
}

const focusable = (part) => [...part.querySelectorAll("a, button, input, select, textarea")];
const place = (part, element) => focusable(part).indexOf(element);
