// Sends each form once: a second click while the answer is on its way would launch a second job.
export function sendOnce() {
  let sent = new WeakSet();
  const forget = () => { sent = new WeakSet(); };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    if (sent.has(form)) event.preventDefault();
    sent.add(form);
  });
  addEventListener("pageshow", forget); // also when somebody came back to it
  globalThis.navigation?.addEventListener("navigateerror", forget); // it was called off
  addEventListener("beforeunload", (event) => {
    if (event.defaultPrevented) setTimeout(forget); // whoever is asked may stay
  });
}
