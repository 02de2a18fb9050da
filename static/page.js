// The page works without this. Each module enhances what it finds by a data- attribute.
import { followLog } from "./follow.js";
import { keepLive } from "./live.js";

keepLive(document.querySelector("[data-lost]"));
for (const log of document.querySelectorAll("[data-follow]")) followLog(log);
