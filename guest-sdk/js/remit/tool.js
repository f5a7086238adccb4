// Tools that act outside the node. The manifest asks for them with `[[wants.tools]]`.

import { take } from "remit:kernel/capability@0.1.0";
import { call as raw, describe as rawDescribe } from "remit:kernel/tool@0.1.0";
import { translated } from "./errors.js";
import { Value, content, release } from "./values.js";

/** The tools that a grant opens, as far as they are declared: `{ name, description, parameters }` each, a JSON Schema the last. */
export function describe(label) {
  const tools = translated(() => rawDescribe(take(label)));
  const schema = (text) => (text === "" ? { type: "object" } : JSON.parse(text));
  return tools.map(({ name, description, parameters }) => ({ name, description, parameters: schema(parameters) }));
}

/** Has a tool act, and waits: what it says, unread. `name` says which, where the grant opens several. */
export function call(label, args, name) {
  return translated(() => {
    let grant = take(label);
    const { scope } = grant.getInfo();
    if (name !== undefined && (scope.length !== 1 || scope[0] !== name)) {
      grant = grant.attenuate(name, { scope: [name], access: undefined, limits: {} });
    }
    const pending = raw(grant, content(args instanceof Value ? args : JSON.stringify(args)));
    try {
      return new Value(pending.get());
    } finally {
      release(pending);
    }
  });
}
