// The state to go on from: whatever JSON can hold.

import { commit as raw } from "remit:kernel/checkpoint@0.1.0";
import { Failure, translated } from "./errors.js";

/** From here on, a restart after a failure calls the agent with this state, and so may a host that starts anew. */
export function commit(state) {
  translated(() => raw(new TextEncoder().encode(JSON.stringify(state))));
}

/** The state that was committed last. */
export function decode(bytes) {
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Failure(
      `the saved state of ${bytes.length} bytes does not fit this agent: run the version that wrote it, or start the task anew`,
    );
  }
}
