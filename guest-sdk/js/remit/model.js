// Inference. The manifest asks for it with `[[wants.models]]`.

import { take } from "remit:kernel/capability@0.1.0";
import { Model as Raw } from "remit:kernel/llm@0.1.0";
import { translated } from "./errors.js";
import { Value, content, release } from "./values.js";

/** Output tokens of a call that names no limit: a few paragraphs. */
const MAX_TOKENS = 256;

/**
 * A model that was opened through a grant. Calls take parameters: `maxTokens`, `temperature`, `topK`, `typicalP`, `topP`, `minP`,
 * `seed`, `stop`, `speculation`; one of `jsonSchema`, `regex`, `choice`, `grammar`, which say what the answer has to look like;
 * `tools` (`{ name, description, parameters }` each) and `toolChoice`: "auto", "required", "none", or a tool's name.
 */
export class Model {
  constructor(raw, limit) {
    this.raw = raw;
    this.limit = limit;
  }

  /** The model of the grant under a label. */
  static take(label) {
    return translated(() => {
      const grant = take(label);
      return new Model(Raw.open(grant), grant.getInfo().limits.maxTokensPerCall);
    });
  }

  /** Answers a conversation, when all of the answer is there. */
  chat(messages, given = {}) {
    return new Completion(translated(() => this.raw.chat(conversation(messages, given), params(given, this.limit))));
  }

  /** Answers a conversation as a stream of texts. */
  stream(messages, given = {}) {
    return new Stream(translated(() => this.raw.chatStream(conversation(messages, given), params(given, this.limit))));
  }

  /** How many tokens a conversation has, exactly as a generation would see it. */
  countTokens(messages) {
    return translated(() => this.raw.countTokens({ tag: "chat", val: conversation(messages, {}) }));
  }

  /** The texts as vectors of length one. After this the process has read them all. */
  embed(texts) {
    return translated(() => this.raw.embed(texts.map(content)));
  }
}

/** A whole answer, unread. `summary` is `{ finish, input, cached, output, paid }`. */
export class Completion {
  #calls;

  constructor({ content, calls, summary }) {
    this.content = new Value(content);
    this.summary = summaryOf(summary);
    this.#calls = calls && new Value(calls);
  }

  /** What the model says; reading it raises the process's label. */
  text() {
    return this.content.text();
  }

  /** What it asks for; reading it raises the process's label. */
  calls() {
    return this.#calls ? readCalls(this.#calls.bytes()) : [];
  }
}

/** An answer as it comes. `calls` and `summary` are there at the end. Leaving a loop over it early cancels it. */
export class Stream {
  #generation;
  calls = [];
  summary = undefined;

  constructor(generation) {
    this.#generation = generation;
  }

  *[Symbol.iterator]() {
    try {
      while (this.summary === undefined) {
        const { tag, val } = translated(() => this.#generation.next());
        if (tag === "text") yield val;
        else if (tag === "tool-call") this.calls.push({ ...val, arguments: JSON.parse(val.arguments) });
        else if (tag === "end") this.summary = summaryOf(val);
      }
    } finally {
      release(this.#generation);
    }
  }
}

function params(given, limit) {
  const most = limit === undefined ? MAX_TOKENS : Math.min(MAX_TOKENS, limit);
  return {
    maxTokens: given.maxTokens ?? most,
    sampling: {
      temperature: given.temperature ?? 0,
      topK: given.topK ?? 0,
      typicalP: given.typicalP ?? 1,
      topP: given.topP ?? 1,
      minP: given.minP ?? 0,
      seed: BigInt(given.seed ?? 0),
    },
    penalties: { repetition: 1, frequency: 0, presence: 0, window: 64 },
    logitBias: [],
    stop: given.stop ?? [],
    stopTokens: new Uint32Array(),
    logprobs: undefined,
    speculation: given.speculation ?? false,
    format: format(given),
  };
}

function format({ jsonSchema, regex, choice, grammar }) {
  if (jsonSchema !== undefined) return { tag: "json-schema", val: JSON.stringify(jsonSchema) };
  if (regex !== undefined) return { tag: "regex", val: regex };
  if (choice !== undefined) return { tag: "choice", val: choice };
  if (grammar !== undefined) return { tag: "grammar", val: grammar };
  return { tag: "any" };
}

function conversation(messages, { tools = [], toolChoice = "auto" }) {
  const written = tools.map((tool) => ({ ...tool, parameters: JSON.stringify(tool.parameters) }));
  const isPlain = ["auto", "required", "none"].includes(toolChoice);
  const choice = isPlain ? { tag: toolChoice } : { tag: "named", val: toolChoice };
  return { messages: [...messages].map(message), tools: tools.length > 0 ? { tools: written, choice } : undefined };
}

function message({ role, content: said = "", calls = [], results = [] }) {
  const parts = said !== "" || calls.length + results.length === 0 ? [{ tag: "text", val: content(said) }] : [];
  for (const call of calls) parts.push({ tag: "tool-call", val: { ...call, arguments: JSON.stringify(call.arguments) } });
  for (const { id, content: of } of results) parts.push({ tag: "tool-result", val: { id, content: content(of) } });
  return { role, content: parts };
}

function summaryOf({ finish, usage: { input, cached, output }, paid }) {
  return { finish, input, cached, output, paid };
}

/** Of `application/vnd.remit.calls`: an id, a name and arguments each, each with its length before it. */
function readCalls(bytes) {
  const [view, texts] = [new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), []];
  for (let offset = 0; offset < bytes.length; ) {
    const begin = offset + 4;
    offset = begin + view.getUint32(offset, true);
    texts.push(new TextDecoder().decode(bytes.subarray(begin, offset)));
  }
  const calls = [];
  for (let at = 0; at < texts.length; at += 3) {
    calls.push({ id: texts[at], name: texts[at + 1], arguments: JSON.parse(texts[at + 2]) });
  }
  return calls;
}
