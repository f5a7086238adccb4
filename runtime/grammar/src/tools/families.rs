//! How the families of models write calls of tools: one row each.
//!
//! A call is a JSON object of a name and of arguments in all of them; what differs is what stands around it.
//!
//! | family | its calls | source |
//! | --- | --- | --- |
//! | Hermes, Qwen 2.5 and 3 | `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`, one block each | model card of NousResearch/Hermes-2-Pro-Llama-3-8B; chat template of Qwen/Qwen2.5-7B-Instruct |
//! | SmolLM2 | `<tool_call>[{"name": …, "arguments": …}, …]</tool_call>`, and `[]` where nothing is to be called | model card of HuggingFaceTB/SmolLM2-1.7B-Instruct, "Function Calling" |
//! | Mistral, up to tokenizer v7 | `[TOOL_CALLS] [{"name": …, "arguments": …}, …]` | chat template of mistralai/Mistral-7B-Instruct-v0.3 |
//! | Llama 3.1 to 3.3 | `{"name": …, "parameters": …}` as the whole answer, one call | Meta, "Llama 3.1 model card and prompt formats", JSON based tool calling |
//! | every other | `{"name": …, "arguments": …}` as the whole answer, one call | none: the grammar forces it |
//!
//! A format is chosen by evidence in the model's chat template, since that is what the model was trained with and it comes
//! with the file. A template that writes calls in a way that is not in the table gets the forced format: Mistral's later
//! `[TOOL_CALLS]name[ARGS]{…}`, the tags of DeepSeek and Kimi, XML of Qwen 3 Coder.

/// How a family writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFormat {
    /// A name for people.
    pub name: &'static str,
    /// What stands in the chat templates of the family: all of it.
    evidence: &'static [&'static str],
    /// What stands in no chat template of the family.
    counter_evidence: &'static [&'static str],
    /// What begins calls: a control token where the vocabulary has it by this name, otherwise text. Empty: the call is the
    /// whole answer.
    pub(super) open: &'static str,
    /// What ends them, likewise.
    pub(super) close: &'static str,
    /// What stands between both and the JSON.
    pub(super) inside: Inside,
    /// How many there may be.
    pub(super) many: Many,
    /// The member that has the arguments.
    pub(super) arguments: &'static str,
}

/// What the JSON of calls is set off by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Nothing,
    /// A space behind the opening, or none: tokenizers of one family differ.
    Space,
    /// A new line behind the opening, and one before the end.
    Lines,
}

/// How a family writes several calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// It does not.
    One,
    /// As blocks, a new line between them.
    Blocks,
    /// As a list in one block.
    List,
    /// The same; an empty list says that there is nothing to call.
    ListOrNone,
}

/// The format that a grammar forces from any model.
pub const FORCED: CallFormat = CallFormat {
    name: "forced",
    evidence: &[],
    counter_evidence: &[],
    open: "",
    close: "",
    inside: Inside::Nothing,
    many: Many::One,
    arguments: "arguments",
};

/// The families, in the order in which their evidence is looked for.
pub const FAMILIES: &[CallFormat] = &[
    CallFormat {
        name: "hermes",
        evidence: &["<tool_call>", "</tool_call>", "\"arguments\""],
        counter_evidence: &["<function=", "<arg_key>"],
        open: "<tool_call>",
        close: "</tool_call>",
        inside: Inside::Lines,
        many: Many::Blocks,
        arguments: "arguments",
    },
    CallFormat {
        name: "smollm2",
        // Its template has no tools: the card tells of them. What names it is its default system message.
        evidence: &["named SmolLM, trained by Hugging Face"],
        counter_evidence: &[],
        open: "<tool_call>",
        close: "</tool_call>",
        inside: Inside::Nothing,
        many: Many::ListOrNone,
        arguments: "arguments",
    },
    CallFormat {
        name: "mistral",
        evidence: &["[TOOL_CALLS]", "[AVAILABLE_TOOLS]"],
        counter_evidence: &["[ARGS]", "[CALL_ID]"],
        open: "[TOOL_CALLS]",
        close: "",
        inside: Inside::Space,
        many: Many::List,
        arguments: "arguments",
    },
    CallFormat {
        name: "llama3-json",
        evidence: &["<|start_header_id|>", "\"parameters\": "],
        counter_evidence: &["<tool_call>"],
        open: "",
        close: "",
        inside: Inside::Nothing,
        many: Many::One,
        arguments: "parameters",
    },
];

impl CallFormat {
    /// The format of the model that has this chat template: [`FORCED`] where it shows none that is known.
    #[must_use]
    pub fn of_template(template: &str) -> &'static Self {
        // Templates write quotes and line ends in strings of their own.
        let template = template.replace("\\\"", "\"").replace("\\n", "\n");
        let has = |text: &&str| template.contains(*text);
        let fits = |format: &&Self| format.evidence.iter().all(has) && !format.counter_evidence.iter().any(has);
        FAMILIES.iter().find(fits).unwrap_or(&FORCED)
    }

    /// Whether one answer may have several calls.
    #[must_use]
    pub fn has_many(&self) -> bool {
        self.many != Many::One
    }

    /// A call as the family writes it, such as an example in a prompt. `arguments` is JSON.
    #[must_use]
    pub fn write(&self, name: &str, arguments: &str) -> String {
        self.write_all([(name, arguments)])
    }

    /// The calls of an answer as the family writes them: names, and arguments that are JSON. A family that writes one call an
    /// answer gets one a line.
    #[must_use]
    pub fn write_all<'a>(&self, calls: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let call = |(name, arguments)| {
            format!("{{\"name\": {}, \"{}\": {arguments}}}", serde_json::Value::from(name), self.arguments)
        };
        let calls: Vec<String> = calls.into_iter().map(call).collect();
        let (before, after) = self.inside.blanks();
        let block = |json: &str| format!("{}{before}{json}{after}{}", self.open, self.close);
        match self.many {
            Many::List | Many::ListOrNone => block(&format!("[{}]", calls.join(", "))),
            Many::One | Many::Blocks => calls.iter().map(|call| block(call)).collect::<Vec<_>>().join("\n"),
        }
    }
}

impl Inside {
    /// What stands before and after the JSON.
    pub(super) fn blanks(self) -> (&'static str, &'static str) {
        match self {
            Self::Nothing => ("", ""),
            Self::Space => (" ", ""),
            Self::Lines => ("\n", "\n"),
        }
    }
}
