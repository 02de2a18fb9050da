// Single keys: through the list, into the search, to a job and back. Never while somebody types, and they can be
// switched off (WCAG 2.1.4).
import { keep, kept } from "./kept.js";

const KEPT = "single keys";

export function useKeys(line) {
  const help = document.querySelector("#keys");
  const single = help.querySelector("[data-single-keys]");
  line.hidden = false;
  line.querySelector("button").addEventListener("click", () => help.showModal());
  single.checked = kept("localStorage", KEPT) !== false;
  single.addEventListener("change", () => keep("localStorage", KEPT, single.checked));

  const acts = new Map([
    ["/", () => document.querySelector("#q").select()],
    ["j", () => step(1)],
    ["k", () => step(-1)],
    ["x", () => here()?.querySelector("input[name=id]")?.click()],
    ["u", () => document.querySelector(".close")?.click()],
    ["?", () => help.showModal()],
  ]);
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (key === "Escape" && target.id === "q") target.blur();
    if (!single.checked || !acts.has(key) || help.open || isTypedInto(target)) return;
    event.preventDefault();
    acts.get(key)();
  });
}

function step(by) {
  const rows = [...document.querySelectorAll("#jobs tbody tr")];
  const at = rows.indexOf(here());
  const next = rows[at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1)];
  next?.querySelector("th a").focus();
}

// The row that has the focus, or else that of the job that is open.
function here() {
  return document.activeElement.closest("#jobs tbody tr") ?? document.querySelector("#jobs tr.chosen");
}

function isTypedInto(target) {
  return target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]") !== null;
}
