// Calls a function again and again: soon while it says that something changed, ever later while nothing does,
// not at all while the tab is hidden, or about to show another page. `look` resolves to true (changed), false (nothing
// new), null (stop), or the milliseconds to wait. Returns a function that has it called at once.
import { isLeaving } from "./once.js";

export function poll(look, { first = 1000, soonest = 1000, latest = 10000 } = {}) {
  let wait = first;
  let timer = 0;
  let looking = false;

  async function turn() {
    if (looking) return;
    clearTimeout(timer);
    if (isLeaving()) {
      if (!document.hidden) timer = setTimeout(turn, soonest);
      return;
    }
    looking = true;
    let changed = false;
    try {
      changed = await look();
    } finally {
      looking = false;
    }
    if (changed === null) return document.removeEventListener("visibilitychange", wake);
    wait = Number(changed) > 1 ? changed : changed ? soonest : Math.min(wait * 1.3, latest);
    if (!document.hidden) timer = setTimeout(turn, wait);
  }

  function wake() {
    clearTimeout(timer);
    if (!document.hidden) turn();
  }

  document.addEventListener("visibilitychange", wake);
  timer = setTimeout(turn, first);
  return wake;
}
