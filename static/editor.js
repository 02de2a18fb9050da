// Makes a field for code better to write in: the mistake that the server found is marked, a new line begins where the
// one before began, Ctrl+S saves, and a text that is not saved is not left by accident. Tab still moves on.
export function editCode(code) {
  const saved = code.value;
  if (code.dataset.line) select(code, Number(code.dataset.line));
  code.addEventListener("keydown", (event) => {
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!code.readOnly) code.form.requestSubmit();
    } else if (event.key === "Enter" && !event.isComposing && !code.readOnly) {
      event.preventDefault();
      insert(code, `\n${indentation(code)}`);
    }
  });
  const isSaved = () => code.value === saved && code.dataset.unsaved === undefined;
  let leaves = isSaved();
  code.form.addEventListener("submit", () => { leaves = true; });
  code.addEventListener("input", () => { leaves = isSaved(); });
  addEventListener("beforeunload", (event) => { if (!leaves) event.preventDefault(); });
}

function select(code, line) {
  const lines = code.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  code.focus();
  code.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  const height = parseFloat(getComputedStyle(code).lineHeight);
  code.scrollTop = Math.max(0, (line - 6) * height);
}

// What the new line begins with: the spaces of the one that is left, and a step more behind a colon.
function indentation(code) {
  const before = code.value.slice(0, code.selectionStart);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  return line.match(/^[ \t]*/)[0] + (/:\s*$/.test(line) ? "    " : "");
}

// As if it were typed, so that it can be undone.
function insert(code, text) {
  if (!document.execCommand("insertText", false, text)) {
    code.setRangeText(text, code.selectionStart, code.selectionEnd, "end");
    code.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
