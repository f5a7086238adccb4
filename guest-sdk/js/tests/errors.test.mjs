// What of the SDK can be tried without a kernel: answers become errors of one sentence.

import assert from "node:assert/strict";
import test from "node:test";
import { Denied, Failure, KernelError, OutOfBudget, translate, translated } from "../remit/errors.js";

function check(payload, kind, words, retryable = false) {
  const error = translate(Object.assign(new Error("of the bindings"), { payload }));
  assert.equal(error.constructor, kind);
  assert.ok(error.message.includes(words), error.message);
  assert.ok(!error.message.includes("\n"), error.message);
  assert.equal(error.retryable, retryable);
}

test("a denial names the grant and what to do", () => {
  check({ tag: "not-granted", val: "chat" }, Denied, "run with --grant chat");
  check({ tag: "denied", val: { tag: "revoked", val: "chat" } }, Denied, "chat was revoked");
  check({ tag: "too-fast", val: { grant: "chat", retryAfterMs: 250n } }, Denied, "wait 250 ms");
});

test("an empty account is an error of its own", () => {
  const val = { needed: 1_500_000n, remaining: 1_000_000n };
  check({ tag: "shortfall", val }, OutOfBudget, "1.5 tokens are needed and 1 are left");
});

test("any other answer is said in its own words", () => {
  check({ tag: "empty-prompt" }, KernelError, "empty prompt");
  check({ tag: "too-large", val: 5n }, KernelError, "too large: 5");
  check({ tag: "too-long", val: { tokens: 9, capacity: 8 } }, KernelError, 'too long: {"tokens":9,"capacity":8}');
  check({ tag: "unavailable", val: "it is loading" }, KernelError, "unavailable: it is loading", true);
  check("expired", KernelError, "expired");
});

test("what is no answer stays as it is", () => {
  const [own, other] = [new Failure("no"), new RangeError("x")];
  assert.equal(translate(own), own);
  assert.throws(() => translated(() => { throw other; }), (error) => error === other);
});
