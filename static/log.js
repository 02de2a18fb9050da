// Follows a log: has the server send what is new of its end, keeps to the end unless the reader scrolled up, pages
// through the rest, holds a bounded number of lines. One that is folded away is left alone until it is unfolded.
import { copyLines, keepSwitches, localTimes } from "./log_lines.js";
import { searchLog } from "./log_search.js";
import { heldLines } from "./log_window.js";
import { poll } from "./poll.js";

const SOON = 400;
const LATE = 750;
const IDLE = 3000;

export function followLog(panel) {
  const log = panel.querySelector("[data-follow]");
  const lines = heldLines(log);
  const { follow: address } = log.dataset;
  const said = panel.querySelector("[data-follow-state]");
  const button = panel.querySelector("[data-follow-button]");
  const where = panel.querySelector("[data-skipped]");
  const go = (name) => panel.querySelector(`a[data-go=${name}]`);
  const isOfAJob = !!panel.closest(".job");
  let { state } = log.dataset; // what we have of the log's end, as the server knows it
  let live = "end" in log.dataset; // the end is what is shown, not an earlier part
  let following = live;
  let [from, to, size] = ["from", "to", "size"].map((name) => Number(log.dataset[name]));
  let lastTop = 0;
  let lost = false;
  let gone = false;
  let isLast = false;
  let polls = false;
  let wake;
  let was = stateOfJob();
  let queue = Promise.resolve();

  const oneByOne = (work) => (queue = queue.then(work, work));

  // Resolves to a part of the log, undefined if nothing is new, or null if there is no answer.
  async function ask(parameters) {
    const answer = await fetch(`${address}?${new URLSearchParams(parameters)}`).catch(() => null);
    lost = !answer || answer.status >= 500;
    gone = answer?.status === 404;
    if (!answer?.ok) {
      say();
      return null;
    }
    if (answer.status === 204) return undefined;
    const part = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-part]");
    localTimes(part);
    return part;
  }

  function isFinal() {
    return isOfAJob && (document.querySelector("#job-head")?.hasAttribute("data-final") ?? true);
  }

  function say() {
    const final = isFinal();
    const text = lost ? "Connection lost, trying again…" : gone ? "The log is gone." : final && live ? "" : !live ? "an earlier part"
      : following ? "following" : "not following";
    if (said.textContent !== text) said.textContent = text;
    if (button) button.hidden = following || (final && live);
    if (where) {
      const after = live || to >= size ? "" : ` ${inBytes(size - to)} come after.`;
      where.textContent = (from ? `${inBytes(from)} came before.` : "") + after;
    }
    if (go("earlier")) go("earlier").hidden = !from;
    if (go("later")) go("later").hidden = live || to >= size;
  }

  function toEnd() {
    log.scrollTop = log.scrollHeight;
    lastTop = log.scrollTop;
  }

  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 8;

  // Shows what is new of the end.
  function show(part) {
    const begins = "begins" in part.dataset;
    if (log.scrollTop < lastTop - 1 && !isAtEnd()) following = false;
    if (!following && (begins || lines.isTooMuch()) && !lines.isEmpty()) {
      return leaveEnd();
    }
    ({ state } = part.dataset);
    [to, size] = [Number(part.dataset.to), Number(part.dataset.size)];
    if (begins) {
      lines.clear();
    }
    if (begins || "merged" in log.dataset) from = Number(part.dataset.from);
    lines.append(part.firstChild);
    lines.showRows(part.lastChild);
    if (following) {
      dropFirst();
      toEnd();
    }
    learnNumbers();
  }

  function dropFirst() {
    from = Number(lines.dropFirst() ?? from);
  }

  function dropLast() {
    if (!lines.isTooMuch()) return;
    if (live) leaveEnd();
    to = Number(lines.dropLast() ?? to);
  }

  // What is shown stays as it is: an earlier part from now on.
  function leaveEnd() {
    [live, following, state] = [false, false, ""];
    to = Number(lines.lastOffset() ?? from); // where to go on; what comes after that line is then shown anew
    say();
  }

  function showPart(part) {
    [live, following, state] = [false, false, ""];
    lines.clear();
    lines.append(part.firstChild);
    [from, to, size] = [Number(part.dataset.from), Number(part.dataset.to), Number(part.dataset.size)];
    log.scrollTop = lastTop = 0;
    learnNumbers();
    say();
  }

  const pages = {
    async start() {
      if (!from) {
        [following, log.scrollTop] = [false, 0];
        return say();
      }
      const part = await ask({ at: 0 });
      if (part) showPart(part);
    },
    async earlier() {
      const part = from && (await ask({ upto: from }));
      if (!part) return;
      following = false;
      from = Number(part.dataset.from);
      lines.keepInSight(() => {
        lines.prepend(part.firstChild);
        dropLast();
      });
      learnNumbers();
      say();
    },
    async later() {
      const part = await ask({ at: to });
      if (!part) return;
      lines.dropFrom(to);
      size = Number(part.dataset.size);
      to = Number(part.dataset.to);
      lines.keepInSight(() => {
        lines.append(part.firstChild);
        dropFirst();
      });
      learnNumbers();
      say();
    },
    async end() {
      const part = await ask({});
      if (part === null) return;
      [live, following] = [true, true];
      if (part) {
        part.dataset.begins = "";
        lastTop = 0;
        show(part);
      }
      toEnd();
      say();
      begin();
    },
  };

  // The number of a line far within a log is counted by the server step by step.
  let counting = 0;
  function learnNumbers() {
    if (counting || !go("start") || !log.querySelector(".l:not([data-n])")) return;
    counting = setTimeout(() => oneByOne(async () => {
      counting = 0;
      const offset = from;
      const answer = await fetch(`${address}/number?at=${offset}`).catch(() => null);
      const { number = null } = answer?.ok ? await answer.json() : {};
      if (number !== null && offset === from) {
        let next = number;
        for (const line of log.querySelectorAll(".l")) line.dataset.n = `${next++}`.padStart(5);
      } else if (answer?.ok) {
        learnNumbers();
      }
    }), 300);
  }

  function stop() {
    polls = false;
    return null;
  }

  async function look() {
    if (panel.matches("details:not([open])")) return stop();
    if (!live) return IDLE;
    const final = isFinal();
    const part = await oneByOne(() => (live ? ask({ since: state }) : undefined));
    if (part && live) show(part);
    say();
    if (part === null) return lost ? IDLE / 2 : stop();
    const more = part && Number(part.dataset.to) < Number(part.dataset.size);
    if (final && isLast && !part) return stop(); // looked once more after it had ended: that was all
    isLast = final && !part;
    return part ? (more ? 100 : SOON) : document.querySelector("#job-head[data-running]") ? LATE : IDLE;
  }

  function begin() {
    if (panel.matches("details:not([open])")) return;
    if (following) toEnd();
    say();
    if (!polls) wake = poll(look, { soonest: SOON });
    polls = true;
  }

  // A job that began or ended has something to say: not only when the next look is due.
  document.addEventListener("live:updated", () => {
    const now = stateOfJob();
    if (isOfAJob && polls && live && now !== was) wake();
    was = now;
  });

  panel.addEventListener("toggle", begin);
  panel.addEventListener("click", (event) => {
    const name = event.target.closest("[data-follow-button]") ? "end" : event.target.closest("a[data-go]")?.dataset.go;
    if (!name || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    oneByOne(pages[name]);
    log.focus({ preventScroll: true });
  });
  log.addEventListener("scroll", () => {
    const was = following;
    following = live && (isAtEnd() || (following && log.scrollTop >= lastTop - 1));
    if (following) lastTop = Math.min(lastTop, log.scrollTop);
    if (was !== following) say();
  }, { passive: true });
  const kept = new ResizeObserver(() => following && toEnd());
  for (const element of [log, ...log.children]) kept.observe(element);

  keepSwitches(panel);
  copyLines(panel, log);
  searchLog(panel, log, {
    find: (parameters) => oneByOne(async () => {
      const answer = await fetch(`${address}/find?${new URLSearchParams(parameters)}`).catch(() => null);
      return answer?.ok ? answer.json() : null;
    }),
    showAround: (offset) => oneByOne(async () => {
      const part = await ask({ around: offset });
      if (part) showPart(part);
      return !!part;
    }),
  });
  localTimes(log);
  learnNumbers();
  begin();
}

function stateOfJob() {
  const head = document.querySelector("#job-head");
  return ["running", "final"].find((name) => name in (head?.dataset ?? {}));
}

function inBytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  while (count >= 1000 && units.length > 1) [count] = [count / 1000, units.shift()];
  return units[0] === "B" ? `${count} B` : `${count.toFixed(1)} ${units[0]}`;
}
