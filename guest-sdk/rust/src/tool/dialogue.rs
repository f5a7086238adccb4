//! A model that has tools done: it is asked, its calls are carried out, and it is told what came of them, until it answers.

use super::{
    GrantedTool, Tool, ToolCall, ToolChoice,
    granted::{self, Description, PendingResult},
};
use crate::{Completion, LlmError, Message, Model, ResultError, Stop, ToolError};
use serde::{Deserialize, Serialize};

/// How much of what a tool said the model reads, in bytes: some two thousand tokens. A tool that has more to say says it in parts.
const RESULT_BYTES_MAX: usize = 8 << 10;

/// How often a model is asked, where nothing is said: who has not found it out by then will not.
const TURNS_DEFAULT: usize = 8;

/// The tools that the process was granted, as a model is shown them.
///
/// ```no_run
/// use remit::{
///     Stop,
///     prelude::*,
///     tool::{Dialogue, Step, Toolbox},
/// };
///
/// fn answer(task: &Task, model: &Model, mut dialogue: Dialogue) -> Result<String, Stop> {
///     let (tools, messages) = (Toolbox::granted()?, task.messages().collect::<Vec<_>>());
///     loop {
///         match tools.step(model, &messages, &mut dialogue)? {
///             Step::Called => checkpoint::commit(&dialogue)?,
///             Step::Answered(answer) => return Ok(answer.text()?),
///         }
///     }
/// }
/// ```
///
/// [`Toolbox::granted`] sets: eight turns, of 512 tokens each.
#[derive(Debug)]
pub struct Toolbox {
    tools: Vec<(Description, GrantedTool)>,
    turns_max: usize,
    max_tokens: u32,
}

/// Output tokens of one turn, where nothing is said: a call with its arguments, or an answer of a page.
const MAX_TOKENS_DEFAULT: u32 = 512;

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// The model asked for calls, which were carried out: they are in the dialogue, and it is to be asked again.
    Called,
    /// It answered.
    Answered(Completion),
}

/// What a model and tools said to each other so far: plain data, to be committed after each step and gone on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    turns: Vec<Turn>,
}

/// A turn of the model, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    text: String,
    calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    result: String,
}

impl Dialogue {
    /// How often the model asked for calls.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Every call so far, oldest first: the tool's name, its arguments, and what the model was told of it.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let calls = self.turns.iter().flat_map(|turn| &turn.calls);
        calls.map(|call| (&*call.name, &*call.arguments, &*call.result))
    }
}

impl Toolbox {
    /// All tools that the process was granted, as far as they are declared. One of a wider grant gets a grant of its own.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn granted() -> Result<Self, ToolError> {
        Ok(Self { tools: granted::all()?, turns_max: TURNS_DEFAULT, max_tokens: MAX_TOKENS_DEFAULT })
    }

    /// How often the model may ask for calls; after that it has to answer.
    #[must_use]
    pub const fn turns_max(mut self, turns: usize) -> Self {
        self.turns_max = turns;
        self
    }

    /// How much the model may write in one turn.
    #[must_use]
    pub const fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// As a model is shown them.
    #[must_use]
    pub fn tools(&self) -> Vec<Tool<'_>> {
        self.tools
            .iter()
            .map(|(described, _)| Tool {
                name: &described.name,
                description: &described.description,
                parameters: &described.parameters,
            })
            .collect()
    }

    /// Asks the model once, with what was said so far behind the messages, and carries out the calls that it asks for, side by side.
    /// Where the dialogue has grown too long for the model, its oldest turns are left out.
    ///
    /// # Errors
    /// [`Stop`]: the model's. A tool that fails, or is refused, is the model's to know, who may do something else.
    pub fn step(&self, model: &Model, messages: &[Message<'_>], dialogue: &mut Dialogue) -> Result<Step, Stop> {
        let answer = self.ask(model, messages, dialogue)?;
        let asked = answer.tool_calls()?;
        if asked.is_empty() {
            return Ok(Step::Answered(answer));
        }
        let text = answer.text()?;
        let begun: Vec<_> = asked.iter().map(|call| self.begin(call)).collect();
        let turn = dialogue.turns();
        let calls = (0..).zip(asked.into_iter().zip(begun)).map(|(index, (call, begun)): (usize, _)| {
            let ToolCall { name, arguments, .. } = call;
            // A model may give the same ids in each of its turns.
            Call { id: format!("{turn}-{index}"), name, arguments, result: told(begun) }
        });
        let calls = calls.collect();
        dialogue.turns.push(Turn { text, calls });
        Ok(Step::Called)
    }

    /// Asks the model, leaving out as many of the oldest turns as it has to.
    fn ask(&self, model: &Model, messages: &[Message<'_>], dialogue: &Dialogue) -> Result<Completion, LlmError> {
        let calls: Vec<Vec<ToolCall>> = dialogue.turns.iter().map(Turn::asked).collect();
        let tools = self.tools();
        let choice = match dialogue.turns() < self.turns_max {
            true => ToolChoice::Auto,
            false => ToolChoice::None,
        };
        let limit = self.max_tokens.min(model.max_tokens_per_call().unwrap_or(u32::MAX));
        let mut without = 0;
        loop {
            let mut told = messages.to_vec();
            for (turn, calls) in dialogue.turns.iter().zip(&calls).skip(without) {
                told.push(Message::called(&*turn.text, calls));
                let results = turn.calls.iter().zip(calls);
                told.extend(results.map(|(call, asked)| Message::result(asked, &*call.result)));
            }
            let asked = model.chat(&told).max_tokens(limit).tools(&tools).tool_choice(choice.clone()).send();
            match asked {
                Err(LlmError::TooLong { .. }) if without < dialogue.turns() => without += 1,
                asked => return asked,
            }
        }
    }

    fn begin(&self, call: &ToolCall) -> Result<PendingResult, String> {
        let Some((_, tool)) = self.tools.iter().find(|(described, _)| described.name == call.name) else {
            return Err(format!("There is no tool {}.", call.name));
        };
        tool.call(&*call.arguments).map_err(|error| format!("The tool was not called: {error}."))
    }
}

impl Turn {
    /// The calls as the model asked for them.
    fn asked(&self) -> Vec<ToolCall> {
        let call =
            |call: &Call| ToolCall { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone() };
        self.calls.iter().map(call).collect()
    }
}

/// What the model is told of a call.
fn told(begun: Result<PendingResult, String>) -> String {
    let pending = match begun {
        Ok(pending) => pending,
        Err(why) => return why,
    };
    match pending.get() {
        Ok(said) if said.is_empty() => "Done; it said nothing.".to_owned(),
        Ok(said) => said.text().map_or_else(|error| format!("Done; what it said cannot be read: {error}."), cut),
        Err(ResultError::Failed(said)) => {
            let said = said.text().map_or_else(|error| error.to_string(), cut);
            format!("The tool failed: {said}")
        }
        Err(error) => format!("There is no result: {error}."),
    }
}

/// As much of a text as the model reads.
fn cut(mut text: String) -> String {
    if text.len() > RESULT_BYTES_MAX {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(RESULT_BYTES_MAX));
        text.push_str(&format!("\n[These are the first {} of {whole} bytes.]", text.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("short".into()), "short");
        let long = cut("é".repeat(RESULT_BYTES_MAX));
        assert!(long.ends_with("[These are the first 8192 of 16384 bytes.]"), "{}", &long[long.len() - 60..]);
        assert!(long.starts_with('é'));
    }

    #[test]
    fn a_dialogue_is_plain_data() {
        let call = Call { id: "a".into(), name: "look".into(), arguments: "{}".into(), result: "x".into() };
        let dialogue = Dialogue { turns: vec![Turn { text: String::new(), calls: vec![call.clone(), call] }] };
        assert_eq!((dialogue.turns(), dialogue.calls().count()), (1, 2));
        assert_eq!(dialogue.calls().next(), Some(("look", "{}", "x")));
        assert_eq!(dialogue.turns[0].asked()[1].id, "a");
    }
}
