// The task that the process was started for, and what it shows while it works.

import { emit as raw } from "remit:kernel/task@0.1.0";
import { translated } from "./errors.js";
import { Value, content } from "./values.js";

/** What is to be done. `conversation` is `{ role, content }` each, oldest first; the last one is the newest request. */
export class Task {
  constructor(task) {
    this.conversation = task.conversation.map(({ role, content }) => ({ role, content: new Value(content) }));
  }

  /** The newest message of the user, unread; undefined where there is none. */
  get request() {
    return this.conversation.findLast(({ role }) => role === "user")?.content;
  }

  /** The conversation as messages for a model. Nothing is read. */
  messages() {
    return [...this.conversation];
  }
}

/** Shows more of the answer: at most 1 MiB a call. Waits while the listener is behind. Of an empty text, nothing is shown. */
export function emit(text) {
  if (text !== "") translated(() => raw({ tag: "text", val: content(text) }));
}

/** Shows how far the work is. */
export function progress(done, total, note = "") {
  const [doneOf, totalOf] = [BigInt(done), total === undefined ? undefined : BigInt(total)];
  translated(() => raw({ tag: "progress", val: { done: doneOf, total: totalOf, note } }));
}

/** Hands over a finished piece of work besides the answer, under a file name without a folder. */
export function artifact(name, of) {
  translated(() => raw({ tag: "artifact", val: { name, content: content(of) } }));
}
