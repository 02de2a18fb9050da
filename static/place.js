// Keeps the place in the list while a job is opened and closed: the row stays where it was in the window.
import { keep, kept } from "./kept.js";

const KEPT = "place in the list";

export function keepPlace(list) {
  const place = kept("sessionStorage", KEPT);
  keep("sessionStorage", KEPT, null);
  if (place) goBackTo(list, place);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#jobs tbody th a, .job .close");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const row = link.closest("tr") ?? list.querySelector("tr.chosen");
    if (!row) return;
    const { top } = row.getBoundingClientRect();
    keep("sessionStorage", KEPT, { id: row.dataset.key, top, typed: event.detail === 0 });
  });
}

function goBackTo(list, { id, top, typed }) {
  const row = [...list.querySelectorAll("tbody tr")].find((one) => one.dataset.key === id);
  const panel = document.querySelector("#job-head");
  const isBeside = panel && panel.getBoundingClientRect().left > list.getBoundingClientRect().left;
  if (row && panel && isBeside) scrollBy(0, row.getBoundingClientRect().top - top);
  if (row && !panel) {
    const isInSight = top > 0 && top < innerHeight - 40;
    if (isInSight) scrollBy(0, row.getBoundingClientRect().top - top);
    else row.scrollIntoView({ block: "center" });
  }
  if (!typed) return;
  (panel ?? row?.querySelector("th a"))?.focus({ preventScroll: true });
}
