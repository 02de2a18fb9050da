// Applies a choice above the list at once, and keeps what is empty out of the address. The button does it all without.
import { keep, kept } from "./kept.js";

const KEPT = "filtered by";

export function filterAtOnce(form) {
  const chosen = kept("sessionStorage", KEPT);
  keep("sessionStorage", KEPT, null);
  if (chosen) form.querySelector(`#${chosen}`)?.focus(); // whoever goes on with the arrow keys is still there
  form.addEventListener("change", ({ target }) => {
    if (!target.matches("select")) return;
    if (target.name === "since") for (const day of form.querySelectorAll("details input")) day.value = "";
    keep("sessionStorage", KEPT, target.id);
    form.requestSubmit();
  });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) form.reset(); }); // what the address says, not what was left
  form.addEventListener("formdata", ({ formData }) => {
    const filled = [...formData].filter(([, value]) => value);
    for (const name of new Set(formData.keys())) formData.delete(name);
    for (const [name, value] of filled) formData.append(name, value);
  });
}
