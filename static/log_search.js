// Searches the whole log, on the server and step by step: from its end upwards first, then from match to match.

const MOST_MARKS = 1000;

export function searchLog(panel, log, { find, showAround }) {
  const form = panel.querySelector("form[data-find]");
  if (!form) return;
  const field = form.elements.find;
  const said = form.querySelector("[data-found]");
  const [up, down] = ["up", "down"].map((way) => form.querySelector(`a[data-find=${way}]`));
  let found = null; // { text, line, end } of the last match
  let turn = 0;

  async function search(isUp) {
    const text = field.value.trim();
    const mine = ++turn;
    if (found?.text !== text) forget();
    if (!text) return say("");
    let place = !found ? (isUp ? {} : { at: 0 }) : isUp ? { upto: found.line } : { at: found.end };
    for (;;) {
      const answer = await find({ find: text, ...place });
      if (mine !== turn) return; // another search began
      if (!answer) return say("The server did not answer. Try again.");
      if (answer.line !== null) {
        found = { text, ...answer };
        if (await showAround(answer.line)) mark(text);
        up.hidden = down.hidden = false;
        return;
      }
      if (answer.next === null) break;
      place = isUp ? { upto: answer.next } : { at: answer.next };
      say(`Searching, ${isUp ? "up" : "down"} to byte ${answer.next.toLocaleString("en")}…`);
    }
    const more = found && (isUp ? "No earlier match." : "No later match.");
    say(more || "Nothing found.");
  }

  // What another text had found is no longer marked, and there is nothing to go on from.
  function forget() {
    found = null;
    up.hidden = down.hidden = true;
    for (const line of log.querySelectorAll(".found")) line.classList.remove("found");
    globalThis.CSS?.highlights?.delete("found");
  }

  function mark(text) {
    const line = log.querySelector(".found");
    const ranges = rangesOf(log, text);
    globalThis.CSS?.highlights?.set("found", new Highlight(...ranges));
    const first = ranges.find((range) => line?.contains(range.startContainer));
    bringIntoView(first ?? line);
    requestAnimationFrame(() => bringIntoView(first ?? line)); // what is above may be higher now that it is laid out
    const number = line?.dataset.n;
    say(number ? `Found in line ${Number(number).toLocaleString("en")}.` : "Found.");
  }

  function bringIntoView(place) {
    const top = place?.getBoundingClientRect().top;
    if (place) log.scrollTop += top - log.getBoundingClientRect().top - log.clientHeight / 3;
  }

  function say(text) {
    said.textContent = text;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search(true);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.shiftKey) return;
    event.preventDefault();
    search(false);
  });
  for (const link of [up, down]) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      search(link === up);
    });
  }
  if (log.querySelector(".found")) { // by the address
    const [line, end] = [[up, "upto"], [down, "at"]].map(([link, name]) => Number(new URL(link.href).searchParams.get(name)));
    found = { text: field.value.trim(), line, end };
    mark(found.text);
  }
}

// Where a text stands in the lines that are here, whatever its case and its colours.
function rangesOf(log, text) {
  const ranges = [];
  const wanted = text.toLowerCase();
  for (const line of log.querySelectorAll(".l")) {
    const content = line.textContent.toLowerCase();
    let at = content.indexOf(wanted);
    if (at < 0 || content.length !== line.textContent.length) continue;
    const nodes = textsOf(line);
    for (; at >= 0 && ranges.length < MOST_MARKS; at = content.indexOf(wanted, at + wanted.length)) {
      const range = document.createRange();
      range.setStart(...placeIn(nodes, at, false));
      range.setEnd(...placeIn(nodes, at + wanted.length, true));
      ranges.push(range);
    }
  }
  return ranges;
}

function textsOf(line) {
  const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  return nodes;
}

function placeIn(nodes, offset, isEnd) {
  for (const node of nodes) {
    if (offset < node.length || (isEnd && offset === node.length)) return [node, offset];
    offset -= node.length;
  }
  return [nodes.at(-1), nodes.at(-1).length];
}
