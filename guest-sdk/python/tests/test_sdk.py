"""What of the SDK can be tried without a kernel, on the generated bindings: answers become exceptions of one sentence."""

import unittest

from componentize_py_types import Err
from remit import errors, model
from wit_world.imports import llm, task, types, value


class Errors(unittest.TestCase):
    def check(self, variant, kind, words, retryable=False):
        with self.assertRaises(errors.Failure) as caught, errors.translated():
            raise Err(variant)
        self.assertIs(type(caught.exception), kind)
        self.assertIn(words, caught.exception.message)
        self.assertNotIn("\n", caught.exception.message)
        self.assertEqual(caught.exception.retryable, retryable)

    def test_a_denial_names_the_grant_and_what_to_do(self):
        self.check(types.Denial_NotGranted("chat"), errors.Denied, "run with --grant chat")
        self.check(llm.LlmError_Denied(types.Denial_Revoked("chat")), errors.Denied, "chat was revoked")
        self.check(types.Denial_TooFast(types.Pace("chat", 250)), errors.Denied, "wait 250 ms")

    def test_an_empty_account_is_an_exception_of_its_own(self):
        short = types.Shortfall(needed=1_500_000, remaining=1_000_000)
        self.check(llm.LlmError_Shortfall(short), errors.OutOfBudget, "1.5 tokens are needed and 1 are left")
        self.check(short, errors.OutOfBudget, "run with a larger --budget")

    def test_any_other_answer_is_said_in_its_own_words(self):
        self.check(llm.LlmError_EmptyPrompt(), errors.Error, "empty prompt")
        self.check(value.ValueError_TooLarge(5), errors.Error, "too large: 5")
        self.check(llm.LlmError_Unavailable("it is loading"), errors.Error, "unavailable: it is loading", True)
        self.check(task.EmitError_Closed(), errors.Error, "closed", True)

    def test_what_is_no_answer_stays_as_it_is(self):
        with self.assertRaises(KeyError), errors.translated():
            raise KeyError("x")


class Calls(unittest.TestCase):
    def test_calls_are_read_back(self):
        pack = lambda text: len(text.encode()).to_bytes(4, "little") + text.encode()
        packed = b"".join(map(pack, ["a1", "add", '{"a": 2}', "b2", "say", '{"ü": "ö"}']))
        calls = [(call.id, call.name, call.arguments) for call in model._calls(packed)]
        self.assertEqual(calls, [("a1", "add", {"a": 2}), ("b2", "say", {"ü": "ö"})])
        self.assertEqual(model._calls(b""), [])


class Parameters(unittest.TestCase):
    def test_a_grants_limit_is_the_default_where_it_is_lower(self):
        for limit, expected in [(None, 256), (128, 128), (512, 256)]:
            self.assertEqual(model.Model(None, limit)._params(model.Params()).max_tokens, expected)
        self.assertEqual(model.Model(None, 128)._params(model.Params(max_tokens=200)).max_tokens, 200)

    def test_a_choice_of_tools_is_a_word_or_a_name(self):
        tool = model.Tool("add", "Adds.", {"type": "object"})
        for choice, expected in [("auto", llm.ToolChoice_Auto), ("none", llm.ToolChoice_None_), ("add", llm.ToolChoice_Named)]:
            chosen = model.Params(tools=(tool,), tool_choice=choice)
            self.assertIsInstance(model._conversation([], chosen).tools.choice, expected)
        self.assertIsNone(model._conversation([], model.Params()).tools)
