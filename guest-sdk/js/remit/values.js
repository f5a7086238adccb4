// Data that a process holds, read or unread. Passing a value on does not taint the process; reading it does, for good.

import { Value as Raw } from "remit:kernel/value@0.1.0";
import { translated } from "./errors.js";

/** One call reads at most so many bytes. */
const CHUNK_BYTES = 1 << 20;

const TEXT = "text/plain; charset=utf-8";

/** A handle on data. */
export class Value {
  constructor(raw) {
    this.raw = raw;
  }

  /** Makes a value of a text or of bytes, 1 MiB at most. It gets the process's label. */
  static of(data, mediaType = typeof data === "string" ? TEXT : "application/octet-stream") {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    return new Value(translated(() => Raw.fromBytes(bytes, mediaType)));
  }

  /** In bytes. Asking for it is not reading. */
  get size() {
    return Number(this.raw.getSize());
  }

  /** RFC 6838. Asking for it is not reading. */
  get mediaType() {
    return this.raw.getMediaType();
  }

  /** What went into it: `{ trusted, tags }`. Asking for it is not reading. */
  get label() {
    const { integrity, tags } = this.raw.getLabel();
    return { trusted: integrity === "trusted", tags };
  }

  /** All of it; raises the process's label. */
  bytes() {
    const bytes = new Uint8Array(this.size);
    let offset = 0;
    while (offset < bytes.length) {
      const length = Math.min(bytes.length - offset, CHUNK_BYTES);
      const part = translated(() => this.raw.read(BigInt(offset), length));
      if (part.length === 0) break;
      bytes.set(part, offset);
      offset += part.length;
    }
    return bytes.subarray(0, offset);
  }

  /** All of it as UTF-8; raises the process's label. */
  text() {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.bytes());
  }

  /** Lets go of it, for who makes many. */
  release() {
    release(this.raw);
  }
}

/** As the bindings have what is passed on: a text of one's own, or a value, unread. */
export function content(of) {
  return of instanceof Value ? { tag: "value", val: of.raw } : { tag: "text", val: String(of) };
}

/** Lets go of a handle now: the collector of garbage does it some time, and a process may hold only so many. */
export function release(resource) {
  resource?.[Symbol.dispose ?? Symbol.for("dispose")]?.();
}
