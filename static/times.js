// Shows moments in the reader's zone; the exact time in UTC stays in their title. Those that say how long ago it was
// are left as they are.
const short = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
const thisYear = new Intl.DateTimeFormat("en-GB", short);
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const otherYear = new Intl.DateTimeFormat("en-GB", { ...short, year: "numeric" });

export function showLocalTimes() {
  localise(document);
  document.addEventListener("live:fresh", ({ detail }) => localise(detail)); // before the page takes it over
}

function localise(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const now = new Date();
    const isToday = at.toDateString() === now.toDateString();
    const isThisYear = at.getFullYear() === now.getFullYear();
    time.textContent = (time.dataset.local && isToday ? clock : isThisYear ? thisYear : otherYear).format(at);
  }
}
