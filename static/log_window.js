// The lines of a log that are held, a bounded number of them: blocks, of which the browser lays out those in sight, and
// after these the rows that may still change.
const MOST_LINES = 4000;
const MOST_CHARACTERS = 1 << 20;
const BLOCK_LINES = 50;

export function heldLines(log) {
  const [lines, rows] = log.children;
  let held = 0; // characters
  let count = 0; // lines

  function add(fresh) {
    held += fresh.textContent.length;
    for (const block of fresh.children) count += block.childElementCount;
  }

  function drop(line) {
    held -= line.textContent.length;
    count--;
    if (line.parentNode.childElementCount === 1) line.parentNode.remove();
    else line.remove();
  }

  const isTooMuch = () => count > MOST_LINES || held > MOST_CHARACTERS;

  add(lines);
  return {
    isTooMuch,
    isEmpty: () => !lines.firstChild,
    lastOffset: () => [...log.querySelectorAll("[data-o]")].pop()?.dataset.o,
    showRows: (now) => renew(rows, now),

    clear() {
      lines.replaceChildren();
      rows.replaceChildren();
      held = count = 0;
    },

    append(fresh) {
      add(fresh);
      const last = lines.lastChild;
      if (last && last.childElementCount + (fresh.firstChild?.childElementCount ?? 0) <= BLOCK_LINES) {
        last.append(...(fresh.firstChild?.childNodes ?? []));
        estimate(last);
        fresh.firstChild?.remove();
      }
      for (const block of fresh.children) estimate(block);
      lines.append(...fresh.childNodes);
    },

    prepend(fresh) {
      add(fresh);
      for (const block of fresh.children) estimate(block);
      lines.prepend(...fresh.childNodes);
    },

    // Lines go from the start until one is first whose offset is known, or from the end with such a one; returned is
    // that offset, if any went.
    dropFirst() {
      if (!isTooMuch()) return undefined;
      const first = () => lines.firstChild.firstChild;
      while (count > 1 && (isTooMuch() || !first().dataset.o)) drop(first());
      estimate(lines.firstChild);
      return first().dataset.o;
    },

    dropLast() {
      rows.replaceChildren();
      let offset;
      while (count > 1 && (isTooMuch() || !offset)) {
        const last = lines.lastChild.lastChild;
        offset = last.dataset.o;
        drop(last);
      }
      estimate(lines.lastChild);
      return offset;
    },

    // Drops the line at an offset, and what comes after it.
    dropFrom(offset) {
      const first = log.querySelector(`[data-o="${offset}"]`);
      rows.replaceChildren();
      while (first && lines.contains(first)) drop(lines.lastChild.lastChild);
    },

    // Changes what stands above or below the lines in sight, and leaves these where they are.
    keepInSight(change) {
      const { top, bottom } = log.getBoundingClientRect();
      const block = [...lines.children].find((one) => one.getBoundingClientRect().bottom > top);
      const line = block && [...block.children].find((one) => one.getBoundingClientRect().bottom > top);
      const was = line?.getBoundingClientRect().top ?? bottom;
      change();
      if (line?.isConnected) log.scrollTop += line.getBoundingClientRect().top - was;
    },
  };
}

// How high a block is while it is not laid out.
function estimate(block) {
  block.style.containIntrinsicBlockSize = `auto ${1.5 * block.childElementCount}em`;
}

// Has the rows be what they are now, without touching those that stayed.
function renew(rows, now) {
  const fresh = [...now.children];
  while (rows.childElementCount > fresh.length) rows.lastChild.remove();
  for (const [at, row] of fresh.entries()) {
    const old = rows.children[at];
    if (!old) rows.append(row);
    else if (old.isEqualNode(row)) continue;
    else if (row.className === "b" && old.className === "b") renew(old, row);
    else old.replaceWith(row);
  }
}
