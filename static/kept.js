// What a browser keeps for us, as JSON. One that keeps nothing refuses by an error: then nothing is known, and nothing
// is kept. `area` is "localStorage" or "sessionStorage".
export function kept(area, name) {
  try {
    return JSON.parse(window[area].getItem(name));
  } catch {
    return null;
  }
}

export function keep(area, name, value) {
  try {
    if (value === null) window[area].removeItem(name);
    else window[area].setItem(name, JSON.stringify(value));
  } catch {
    // it is done without
  }
}
