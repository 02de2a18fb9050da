// What was said of an action is said once: reloaded, kept or sent, the address no longer says it.
export function forgetSaid() {
  const address = new URL(location.href);
  if (!address.searchParams.has("said")) return;
  address.searchParams.delete("said");
  address.searchParams.delete("counts");
  history.replaceState(history.state, "", address);
}
