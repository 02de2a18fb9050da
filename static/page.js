// The page works without this. Each module enhances what it finds by a data- attribute.
import { followLog } from "./follow.js";
import { editCode } from "./editor.js";
import { keepLive } from "./live.js";
import { sendOnce } from "./once.js";

keepLive(document.querySelector("[data-lost]"));
for (const code of document.querySelectorAll("textarea.code")) editCode(code);
sendOnce();
for (const log of document.querySelectorAll("[data-follow]")) followLog(log);
