// The page works without this. Each module enhances what it finds by a data- attribute.
import { followLog } from "./log.js";
import { editCode } from "./editor.js";
import { filterAtOnce } from "./filter.js";
import { useKeys } from "./keys.js";
import { keepOnEnter } from "./keep.js";
import { keepLive } from "./live.js";
import { noticeEnds } from "./notices.js";
import { readCharts } from "./chart.js";
import { sendOnce } from "./once.js";
import { keepPlace } from "./place.js";
import { forgetSaid } from "./said.js";
import { countSelected } from "./selection.js";
import { showLocalTimes } from "./times.js";

forgetSaid();
showLocalTimes();
noticeEnds();
keepLive(document.querySelector("[data-lost]"));
for (const code of document.querySelectorAll("textarea.code")) editCode(code);
sendOnce();
keepPlace(document.querySelector("#jobs"));
for (const form of document.querySelectorAll("[data-filter]")) filterAtOnce(form);
for (const form of document.querySelectorAll("[data-selection]")) countSelected(form);
for (const line of document.querySelectorAll("[data-keys]")) useKeys(line);
for (const field of document.querySelectorAll("[data-keep]")) keepOnEnter(field);
for (const panel of document.querySelectorAll("[data-log]")) followLog(panel);
readCharts();
