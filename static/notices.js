// Tells by a notification of the browser that a job ended, once in all tabs, if somebody asked for it. Permission is
// asked for by that click alone. The jobs that are waited for are kept in the browser and looked at now and then, also
// while the tab is hidden and everything else rests.
import { keep, kept } from "./kept.js";

const LOOK_EVERY_MS = 20000;
const MOST = 50;
const FINAL = ["done", "error", "stop"];

export function noticeEnds() {
  // Android has the name and throws when it is used: there only a service worker may show one
  if (!isSecureContext || !("Notification" in window) || /Android/.test(navigator.userAgent)) return;
  const page = new URL(document.body.dataset.page, location.href);
  const followed = keeperOf(`notices ${page.pathname}`);
  let timer = 0;

  function offer(root) {
    for (const button of root.querySelectorAll("[data-notify]")) {
      const text = textOf(button.dataset.notify in followed.jobs());
      button.hidden = false;
      if (button.textContent !== text) button.textContent = text;
    }
  }

  async function turn() {
    clearTimeout(timer);
    if (!Object.keys(followed.jobs()).length) return;
    // one tab looks at a time, and reads what is followed after the others have written it
    await navigator.locks.request(followed.name, { ifAvailable: true }, (lock) => lock && look(followed)).catch(() => null);
    offer(document);
    clearTimeout(timer);
    if (Object.keys(followed.jobs()).length) timer = setTimeout(turn, LOOK_EVERY_MS);
  }

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-notify]");
    if (!button) return;
    const { notify: id, record, title } = button.dataset;
    if (id in followed.jobs()) followed.drop(id);
    else if (await Notification.requestPermission() === "granted") followed.add(id, { record, title, page: page.href });
    offer(document);
    turn();
  });
  document.addEventListener("live:fresh", ({ detail }) => offer(detail)); // before the page takes it over
  document.addEventListener("live:updated", () => {
    const hasEnded = document.querySelector("#job-head[data-final]");
    if (hasEnded && page.searchParams.get("job") in followed.jobs()) turn();
  });
  document.addEventListener("visibilitychange", turn);
  addEventListener("storage", ({ key }) => {
    if (key !== followed.name) return;
    offer(document);
    turn();
  });
  offer(document);
  turn();
}

function textOf(isFollowed) {
  if (Notification.permission === "denied") return "Notifications are blocked by this browser";
  return isFollowed ? "Do not notify me" : "Notify me when it ends";
}

async function look(followed) {
  for (const [id, { record, title, page }] of Object.entries(followed.jobs())) {
    const answer = await fetch(record).catch(() => null);
    if (answer?.status === 404) followed.drop(id); // deleted
    if (!answer?.ok) continue;
    const [job] = (await answer.json()).data;
    if (!FINAL.includes(job.status) || !(id in followed.jobs())) continue;
    followed.drop(id);
    const notice = new Notification(`${title} · ${job.status}`, { body: job.reason ?? "", tag: id });
    notice.onclick = () => {
      window.focus();
      location.assign(page);
      notice.close();
    };
  }
}

function keeperOf(name) {
  const jobs = () => kept("localStorage", name) ?? {};
  const write = (entries) => keep("localStorage", name, Object.fromEntries(entries.slice(-MOST)));
  return {
    name,
    jobs,
    add: (id, job) => write([...Object.entries(jobs()), [id, job]]),
    drop: (id) => write(Object.entries(jobs()).filter(([other]) => other !== id)),
  };
}
