// How an agent is called, and how it ends.

import "./web.js";
import { decode } from "./checkpoint.js";
import { Failure, translate } from "./errors.js";
import * as log from "./log.js";
import { Task } from "./task.js";

/** All that was asked for, with a result where there is more than what was emitted. */
export const complete = (output) => ({ status: "complete", output: output?.raw });

/** A usable part: the budget or a limit ended the work early. */
export const partial = (output) => ({ status: "partial", output: output?.raw });

/**
 * Makes a function the agent: `export const run = agent((task, resumed) => …)`. `resumed` is the state that was committed last, or
 * undefined. It returns what `complete` or `partial` does, or nothing where its work is complete, or a promise of that.
 *
 * What it throws is its failure: a `Failure` as it says, anything else by its name and its message, with its stack in the log.
 */
export function agent(work) {
  return async (task, resumed) => {
    try {
      return (await work(new Task(task), decode(resumed))) ?? complete();
    } catch (thrown) {
      throw failed(translate(thrown));
    }
  };
}

/** As the bindings want it. */
function failed(error) {
  if (error instanceof Failure) return { payload: { message: error.message, retryable: error.retryable } };
  log.error(error?.stack ? `${error}\n${error.stack}` : `${error}`);
  return { payload: { message: `${error}`, retryable: false } };
}
