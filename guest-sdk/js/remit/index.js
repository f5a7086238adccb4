// What an agent's author imports.
//
//     import { agent, emit } from "remit";
//     import { Model } from "remit/model";
//
//     export const run = agent((task) => {
//       for (const piece of Model.take("chat").stream(task.messages(), { maxTokens: 200 })) emit(piece);
//     });
//
// What it asks for stands in its manifest, `remit.toml`; what it got is in its grants. Modules that need a grant are imported by
// their own names, since a component has only the interfaces that its manifest asks for: `remit/model`, `remit/tool`,
// `remit/memory`. All else of the kernel is there under the names that WIT has for it, such as "remit:kernel/mailbox@0.1.0".

export { commit } from "./checkpoint.js";
export { agent, complete, partial } from "./entry.js";
export { Denied, Failure, KernelError, OutOfBudget } from "./errors.js";
export { debug, error, info, warn } from "./log.js";
export { assistant, system, user } from "./messages.js";
export { artifact, emit, progress, Task } from "./task.js";
export { Value } from "./values.js";
