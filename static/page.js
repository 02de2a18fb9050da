// The page works without this. Each module enhances what it finds by a data- attribute.
import { followLog } from "./follow.js";
import { editCode } from "./editor.js";
import { filterAtOnce } from "./filter.js";
import { keepLive } from "./live.js";
import { sendOnce } from "./once.js";
import { countSelected } from "./selection.js";
import { showLocalTimes } from "./times.js";

showLocalTimes();
keepLive(document.querySelector("[data-lost]"));
for (const code of document.querySelectorAll("textarea.code")) editCode(code);
sendOnce();
for (const form of document.querySelectorAll("[data-filter]")) filterAtOnce(form);
for (const form of document.querySelectorAll("[data-selection]")) countSelected(form);
for (const log of document.querySelectorAll("[data-follow]")) followLog(log);
