// Makes a field for code better to write in: the mistake that the server found is marked, a new line begins where the
// one before began, Ctrl+S saves and leads back to the same place, and a text that is not saved is not left by accident.
// Tab still moves on.
import { keep, kept } from "./kept.js";

export function editCode(code) {
  const saved = code.value;
  const editor = code.closest(".editor");
  const place = placeOf(code);
  if (code.dataset.line) select(code, Number(code.dataset.line));
  else if (!editor.querySelector("#worker-name[aria-invalid]")) place.find();
  document.addEventListener("keydown", (event) => {
    if (!asksToSave(event) || (event.target !== document.body && !editor.contains(event.target))) return;
    event.preventDefault();
    if (!code.readOnly && !event.repeat) code.form.requestSubmit();
  });
  code.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || code.readOnly) return;
    event.preventDefault();
    insert(code, `\n${indentation(code)}`);
  });
  const isSaved = () => code.value === saved && code.dataset.unsaved === undefined;
  let leaves = isSaved();
  code.form.addEventListener("submit", () => {
    leaves = true;
    place.keep();
  });
  code.addEventListener("input", () => { leaves = isSaved(); });
  addEventListener("beforeunload", (event) => { if (!leaves) event.preventDefault(); });
}

function asksToSave({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  return key.toLowerCase() === "s" && (ctrlKey || metaKey) && !altKey && !shiftKey; // with CapsLock the key is S
}

// Where somebody was in a worker's code, kept from a save to the page that it leads to.
function placeOf(code) {
  const name = () => `place in ${code.form.elements.namedItem("name").value.trim()}`;
  return {
    keep() {
      const { selectionStart, selectionEnd, scrollTop, scrollLeft } = code;
      keep("sessionStorage", name(), [selectionStart, selectionEnd, scrollTop, scrollLeft]);
    },
    find() {
      const place = kept("sessionStorage", name());
      keep("sessionStorage", name(), null);
      if (!place) return;
      code.focus();
      code.setSelectionRange(place[0], place[1]);
      code.scrollTo(place[3], place[2]);
    },
  };
}

function select(code, line) {
  const lines = code.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  code.focus();
  code.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  const height = parseFloat(getComputedStyle(code).lineHeight);
  code.scrollTop = Math.max(0, (line - 6) * height);
}

// What the new line begins with: what the one that is left begins with, and a step more behind a colon of its code.
function indentation(code) {
  const before = code.value.slice(0, code.selectionStart);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const begin = line.match(/^[ \t]*/)[0];
  if (!/^(?:[^#"']|"[^"]*"|'[^']*')*:\s*(?:#.*)?$/.test(line)) return begin;
  return begin + (begin.startsWith("\t") ? "\t" : "    ");
}

// As if it were typed, so that it can be undone.
function insert(code, text) {
  if (!document.execCommand("insertText", false, text)) {
    code.setRangeText(text, code.selectionStart, code.selectionEnd, "end");
    code.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
