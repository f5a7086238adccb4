// Counts the words of a text, and has a model say what the text is about where it was granted one.
//
// Asked to connect somewhere, it tries, and says what came of it: no agent has a network.

import { agent, commit, complete, Denied, emit, Failure, OutOfBudget, partial, system } from "remit";
import { Model } from "remit/model";

const SHOWN = 3;

const SYSTEM = "Say in one sentence what the text is about.";

export const run = agent(async (task, resumed) => {
  if (!task.request?.size) throw new Failure("there is no text: give one as input");
  const text = task.request.text();
  if (text.startsWith("connect ")) {
    emit(JSON.stringify(await connect(text.slice("connect ".length).trim())));
    return complete();
  }
  const state = resumed ?? { counted: count(text) };
  commit(state);
  console.log(`counted ${state.counted.words} words`);
  emit(`${JSON.stringify(state.counted)}\n`);
  return describe(task);
});

function count(text) {
  const words = text.toLowerCase().match(/\w+/g) ?? [];
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const most = [...counts].sort(([, one], [, other]) => other - one).slice(0, SHOWN);
  return { words: words.length, most };
}

function describe(task) {
  try {
    const answer = Model.take("chat").chat([system(SYSTEM), ...task.messages()], { maxTokens: 100 });
    emit(answer.content);
    return complete();
  } catch (error) {
    if (error instanceof Denied) return complete();
    if (error instanceof OutOfBudget) return partial();
    throw error;
  }
}

/** What JavaScript says of it. */
async function connect(address) {
  try {
    await fetch(`http://${address}/`);
    return { fetch: "open" };
  } catch (error) {
    return { fetch: `${error.name}: ${error.message}` };
  }
}
