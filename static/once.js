// Sends each form once: a second click while the answer is on its way would launch a second job.
const ANSWERED_MS = 10000; // not every browser says that somebody called it off
let leavingUntil = 0;

// Says whether the page that answers a form is about to take this one's place: what this one asks for may be gone.
export const isLeaving = () => performance.now() < leavingUntil;

export function sendOnce() {
  let sent = new WeakSet();
  const forget = () => {
    sent = new WeakSet();
    leavingUntil = 0;
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    if (sent.has(form)) event.preventDefault();
    sent.add(form);
    leavingUntil = performance.now() + ANSWERED_MS;
  });
  addEventListener("pageshow", forget); // also when somebody came back to it
  globalThis.navigation?.addEventListener("navigateerror", forget); // it was called off
  addEventListener("beforeunload", (event) => {
    if (event.defaultPrevented) setTimeout(forget); // whoever is asked may stay
  });
}
