// What goes wrong, as errors of one sentence each. The bindings throw an error whose `payload` is the kernel's answer.

const DENIALS = {
  "not-granted": (grant) => `no grant ${grant}: ask for it in the manifest's [wants] and run with --grant ${grant}`,
  revoked: (grant) => `the grant ${grant} was revoked: ask its owner for a new one`,
  expired: (grant) => `the grant ${grant} has expired: ask its owner for a new one`,
  exhausted: (grant) => `the grant ${grant} is used up: ask its owner for more uses`,
  "too-fast": ({ grant, retryAfterMs }) =>
    `the grant ${grant} is used too fast: wait ${retryAfterMs} ms, or ask for a higher rate`,
  exceeded: (grant) => `the grant ${grant} does not go that far: lower maxTokens or ask for a wider grant`,
  "out-of-scope": (grant) => `the grant ${grant} does not open that: ask for a grant whose scope has it`,
  tainted: (grant) =>
    `the grant ${grant} takes no data of this label: leave out what is untrusted or secret, or ask for a higher ceiling`,
};

/** What an agent throws when it cannot do its work: one sentence that says what failed, why, and what to do. */
export class Failure extends Error {
  constructor(message, { retryable = false } = {}) {
    super(message);
    this.name = new.target.name;
    this.retryable = retryable;
  }
}

/** What the kernel answered instead of doing what it was asked. `answer` is that as the bindings have it. */
export class KernelError extends Failure {
  constructor(answer) {
    super(sentence(answer), { retryable: ["unavailable", "closed"].includes(answer?.tag) });
    this.answer = answer;
  }
}

/** A missing right. */
export class Denied extends KernelError {}

/** The account cannot pay what comes next. What was done until then can be of use: see `partial`. */
export class OutOfBudget extends KernelError {}

/** Does something with the bindings, and throws what they throw as one of the errors here. */
export function translated(act) {
  try {
    return act();
  } catch (error) {
    throw translate(error);
  }
}

/** An error of the bindings as one of the errors here; any other as it is. */
export function translate(error) {
  if (error instanceof Failure || !Object.hasOwn(Object(error), "payload")) return error;
  const answer = error.payload;
  if (denial(answer)) return new Denied(answer);
  if (shortfall(answer)) return new OutOfBudget(answer);
  return new KernelError(answer);
}

function sentence(answer) {
  const denied = denial(answer);
  if (denied) return DENIALS[denied.tag](denied.val);
  const short = shortfall(answer);
  if (short) {
    const [needed, remaining] = [short.needed, short.remaining].map((micro) => Number(micro) / 1e6);
    return `the budget is too small: ${needed} tokens are needed and ${remaining} are left; run with a larger --budget`;
  }
  const { tag = String(answer), val } = Object(answer);
  const words = tag.replaceAll("-", " ");
  if (val === undefined || typeof val?.read === "function") return words;
  return `${words}: ${typeof val === "object" ? JSON.stringify(val, plain) : val}`;
}

function denial(answer) {
  const inner = answer?.tag === "denied" ? answer.val : answer;
  return inner && Object.hasOwn(DENIALS, inner.tag) ? inner : undefined;
}

function shortfall(answer) {
  return answer?.tag === "shortfall" ? answer.val : undefined;
}

function plain(_key, value) {
  return typeof value === "bigint" ? Number(value) : value;
}
