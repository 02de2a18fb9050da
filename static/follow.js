// Follows a log: appends what came since, keeps to the end unless the reader scrolled up, holds a bounded amount.
import { poll } from "./poll.js";

const HELD = 1 << 20;
const TAIL = 64 << 10;

export function followLog(log) {
  const decoder = new TextDecoder();
  const state = document.querySelector("[data-follow-state]");
  let offset = Number(log.dataset.offset);
  let last = false;
  log.scrollTop = log.scrollHeight;

  poll(async () => {
    const final = document.querySelector("#job-head")?.hasAttribute("data-final") ?? true;
    let answer = await fetch(`${log.dataset.follow}?offset=${offset}`).catch(() => null);
    if (answer?.ok && Number(answer.headers.get("Content-Length")) > HELD) {
      await answer.body.cancel(); // more than is shown: go on near the end
      answer = await fetch(`${log.dataset.follow}?tail=${TAIL}`).catch(() => null);
      if (answer?.ok) log.textContent = "";
    }
    if (!answer?.ok) return false;
    const bytes = new Uint8Array(await answer.arrayBuffer());
    offset = Number(answer.headers.get("X-Next-Offset"));
    if (bytes.length) append(log, decoder.decode(bytes, { stream: true }));
    state.textContent = final ? "" : "following";
    if (final && last) return null; // looked once more after it had ended: that was all
    last = final;
    return bytes.length > 0 || final;
  }, { latest: 3000 });
}

function append(log, text) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(text);
  while (log.textContent.length > HELD && log.childNodes.length > 1) log.firstChild.remove();
  if (log.firstChild.length > HELD) log.firstChild.deleteData(0, log.firstChild.length - HELD);
  if (atEnd) log.scrollTop = log.scrollHeight;
}
