// Counts the ticked jobs, also while rows come and go, and offers to tick all of the page.
export function countSelected(form) {
  const told = form.querySelector("[data-selected-count]");
  const offer = form.querySelector("[data-all]");
  const all = offer.querySelector("input");
  const boxes = () => [...document.querySelectorAll("#jobs input[name=id]")];
  offer.hidden = false;

  function count() {
    const shown = boxes();
    const ticked = shown.filter((box) => box.checked).length;
    const text = ticked ? `${ticked} selected` : "None selected";
    if (told.textContent !== text) told.textContent = text;
    all.checked = ticked > 0 && ticked === shown.length;
    all.indeterminate = ticked > 0 && ticked < shown.length;
  }

  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    count();
  });
  document.addEventListener("change", ({ target }) => { if (target.name === "id") count(); });
  document.addEventListener("live:updated", count);
  addEventListener("pageshow", count);
  count();
}
