// What was said of an action is said once: reloaded, kept or sent, the address no longer says it.
export function forgetSaid() {
  const address = new URL(location.href);
  if (!address.searchParams.has("said")) return;
  for (const name of ["said", "counts", "seal"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}
