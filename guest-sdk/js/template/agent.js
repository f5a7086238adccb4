// Answers a question, and shows the answer as it comes.

import { agent, complete, emit, Failure, OutOfBudget, partial, system } from "remit";
import { Model } from "remit/model";

const SYSTEM = "You are a helpful assistant. Answer in a few sentences.";

export const run = agent((task) => {
  if (!task.request?.size) throw new Failure("there is no question: give one as input");
  if (answer(task) === "stop") {
    emit("\n");
    return complete();
  }
  // What was shown so far is of use: the outcome says that it is not all.
  emit("\n[The answer ends here: there is no room or no budget for more.]\n");
  return partial();
});

/** Puts the conversation to the model, unread: what the agent has not read cannot mislead it. */
function answer(task) {
  try {
    const stream = Model.take("chat").stream([system(SYSTEM), ...task.messages()], { maxTokens: 400 });
    for (const piece of stream) emit(piece);
    return stream.summary.finish;
  } catch (error) {
    if (error instanceof OutOfBudget) return "budget";
    throw error;
  }
}
