// Lines of the process's log. What `console.log` writes goes there too.

import { log } from "remit:kernel/trace@0.1.0";

export const debug = (message) => log("debug", String(message));
export const info = (message) => log("info", String(message));
export const warn = (message) => log("warn", String(message));
export const error = (message) => log("error", String(message));
