// Follows a log: appends what came since, keeps to the end unless the reader scrolled up, holds a bounded amount.
// One that is folded away is left alone until it is unfolded.
import { poll } from "./poll.js";

const HELD = 1 << 20;
const TAIL = 64 << 10;

export function followLog(log) {
  const look = follower(log);
  const fold = log.closest("details");
  let follows = false;

  function begin() {
    if (fold && !fold.open) return;
    log.scrollTop = log.scrollHeight;
    if (follows) return;
    follows = true;
    poll(async () => {
      follows = !fold || fold.open;
      return follows ? look() : null;
    }, { latest: 3000 });
  }

  fold?.addEventListener("toggle", begin);
  begin();
}

function follower(log) {
  let decoder = new TextDecoder();
  const bar = log.previousElementSibling;
  const state = bar.querySelector("[data-follow-state]");
  const skipped = bar.querySelector("[data-skipped]");
  const append = appender(log, () => {
    skipped.textContent = "The last part; the whole log has more before.";
  });
  let offset = Number(log.dataset.offset);
  let last = false;

  return async () => {
    const final = log.id === "log" && (document.querySelector("#job-head")?.hasAttribute("data-final") ?? true);
    let answer = await fetch(`${log.dataset.follow}?offset=${offset}`).catch(() => null);
    if (answer?.ok && Number(answer.headers.get("Content-Length")) > HELD) {
      await answer.body.cancel(); // more than is shown: go on near the end
      answer = await fetch(`${log.dataset.follow}?tail=${TAIL}`).catch(() => null);
      if (answer?.ok) {
        append.clear();
        decoder = new TextDecoder();
      }
    }
    if (!answer?.ok) return answer?.status === 404 ? null : false; // deleted: there is nothing more to follow
    let bytes = new Uint8Array(await answer.arrayBuffer());
    if (append.beginsAfresh()) bytes = bytes.subarray(bytes.indexOf(10) + 1); // from a line's begin on
    const next = Number(answer.headers.get("X-Next-Offset"));
    const begunAnew = next < offset; // put aside since, and this is its successor
    offset = begunAnew ? 0 : next;
    if (bytes.length) append(decoder.decode(bytes, { stream: true }));
    state.textContent = final ? "" : "following";
    if (final && last) return null; // looked once more after it had ended: that was all
    last = final;
    return bytes.length > 0 || final || begunAnew;
  };
}

// The log's last node is the line that is not finished: a progress bar overwrites it with every carriage return.
// `onCut` is called when earlier lines went.
function appender(log, onCut) {
  const unfinished = new Text();
  let afresh = false;

  function append(text) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const lines = (unfinished.data + text).split("\n");
    const rest = overwritten(lines.pop());
    if (lines.length) unfinished.before(lines.map((line) => `${overwritten(line).replace(/\r+$/, "")}\n`).join(""));
    unfinished.data = rest.slice(-HELD);
    shorten(log.textContent.length - HELD);
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  function shorten(excess) {
    if (excess > 0) onCut();
    while (excess > 0 && log.firstChild !== unfinished) {
      const cut = Math.min(excess, log.firstChild.length);
      excess -= cut;
      if (cut === log.firstChild.length) log.firstChild.remove();
      else log.firstChild.deleteData(0, cut);
    }
  }

  append.beginsAfresh = () => {
    const was = afresh;
    afresh = false;
    return was;
  };
  append.clear = () => {
    afresh = true;
    onCut();
    unfinished.data = "";
    log.replaceChildren(unfinished);
  };
  const begun = log.textContent;
  log.replaceChildren(unfinished);
  append(begun);
  return append;
}

// What a terminal would still show of a line. A carriage return at its end overwrites nothing yet.
function overwritten(line) {
  return line.slice(line.replace(/\r+$/, "").lastIndexOf("\r") + 1);
}
