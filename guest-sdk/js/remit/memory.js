// What agents remember. The manifest asks for it with `[[wants.memory]]`.

import { take } from "remit:kernel/capability@0.1.0";
import { forget, put, search } from "remit:kernel/memory@0.1.0";
import { translated } from "./errors.js";
import { Value, content } from "./values.js";

/** The stores of a grant. Entries go by numbers of type `bigint`. */
export class Memory {
  constructor(grant) {
    this.grant = grant;
  }

  /** The stores of the grant under a label. */
  static take(label) {
    return new Memory(translated(() => take(label)));
  }

  /** Writes a new entry, and answers its number. */
  put(text, { tags = [], importance = 0.5 } = {}) {
    const particulars = { tags, fields: [], importance, expiresAtNs: undefined };
    return translated(() => put(this.grant, content(text), particulars, undefined));
  }

  /** The likest entries, by words and by meaning, that have all of the tags: `{ entry, content, score }` each, unread. */
  search(text, { count = 5, tags = [] } = {}) {
    const filter = tags.map((tag) => [{ tag: "tagged", val: tag }]);
    const weighting = { recency: 0, halfLifeSeconds: 86_400, importance: 0, diversity: 0 };
    const likeness = { tag: "both", val: content(text) };
    const hits = translated(() => search(this.grant, likeness, filter, undefined, weighting, count));
    return hits.map(({ entry, content, score }) => ({ entry, content: new Value(content), score }));
  }

  /** Forgets entries, with `purge` for good; how many there were. */
  forget(entries, { purge = false } = {}) {
    return translated(() => forget(this.grant, { tag: "entries", val: entries }, purge));
  }
}
