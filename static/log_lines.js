// How a log's lines are shown: the reader's switches are remembered, times are in the reader's zone, lines are copied.
import { keep, kept } from "./kept.js";

export function keepSwitches(panel) {
  for (const box of panel.querySelectorAll(".log-switches input")) {
    const name = `log-${box.name}`;
    box.checked = kept("localStorage", name) ?? box.checked;
    box.addEventListener("change", () => keep("localStorage", name, box.checked));
  }
}

const zoned = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "medium" }); // 2026-11-22 07:20:01
let last = ["", ""];

export function localTimes(part) {
  for (const line of part?.querySelectorAll("[data-t$=Z]") ?? []) {
    const { t } = line.dataset;
    if (last[0] !== t) last = [t, zoned.format(new Date(t.replace(" ", "T")))];
    line.dataset.utc = t;
    line.dataset.t = last[1];
  }
}

// The exact time is said where the pointer is; not at each line, most are never looked at.
export function copyLines(panel, log) {
  log.addEventListener("pointerover", ({ target }) => {
    const line = target.closest("[data-utc]");
    if (line) line.title = `by ${line.dataset.utc.replace("Z", " UTC")}`;
  });
  const button = panel.querySelector("[data-copy]");
  if (!button || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = [...log.querySelectorAll(".l")].map((line) => `${line.textContent}\n`).join("");
    const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
    button.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}
