//! How a generation draws its tokens, and what it tells about them.

use serde::{Deserialize, Serialize};

/// From which tokens one is drawn, and how. The steps come in the order of the fields, after bias and penalties; each sees
/// the probabilities that the one before left, together 1 again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the tokens that are about as surprising as the whole distribution, as many as together have this probability
    /// (Meister et al. 2022, "Locally Typical Sampling"); 1 keeps all.
    pub typical_p: f32,
    /// Keeps the likeliest tokens that together have this probability (Holtzman et al. 2020, "The Curious Case of Neural
    /// Text Degeneration"); 1 keeps all.
    pub top_p: f32,
    /// Keeps the tokens that are at least this many times as likely as the likeliest (Nguyen et al. 2024, "Turning Up the
    /// Heat: Min-p Sampling for Creative and Coherent LLM Outputs"); 0 keeps all.
    pub min_p: f32,
    /// Of the numbers that tokens are drawn with. The same seed, prompt, parameters and model give the same text.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy: temperature 0, and every filter off; seed 0.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, typical_p: 1.0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

/// What makes tokens that were there before less likely.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Penalties {
    /// Divides the logits above 0 of tokens that were there, and multiplies the others (Keskar et al. 2019, "CTRL: A
    /// Conditional Transformer Language Model for Controllable Generation", section 4.1); 1 does nothing.
    pub repetition: f32,
    /// Is taken from the logit of a token as often as it was there (OpenAI API reference, `frequency_penalty`); 0 does
    /// nothing.
    pub frequency: f32,
    /// Is taken once from the logit of each token that was there (OpenAI API reference, `presence_penalty`); 0 does nothing.
    pub presence: f32,
    /// How many tokens these look back, over the output and then over the prompt.
    pub window: u32,
}

impl Default for Penalties {
    /// None: repetition 1, frequency 0, presence 0; whoever sets one gets a window of 64 tokens, as with llama.cpp.
    fn default() -> Self {
        Self { repetition: 1.0, frequency: 0.0, presence: 0.0, window: 64 }
    }
}

impl Penalties {
    /// Whether they change nothing.
    #[must_use]
    pub fn are_off(&self) -> bool {
        self.window == 0 || (self.repetition == 1.0 && self.frequency == 0.0 && self.presence == 0.0)
    }
}

/// What an answer has to look like, as the guest says it. It is held to while the answer is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutputFormat {
    /// As the model likes.
    #[default]
    Any,
    /// JSON that fits this schema (JSON Schema 2020-12), which is JSON too.
    JsonSchema(Box<str>),
    /// A text that this regular expression matches as a whole.
    Regex(Box<str>),
    /// One of these texts.
    Choice(Box<[Box<str>]>),
    /// A text of this context-free grammar, in llguidance's variant of Lark's syntax.
    Grammar(Box<str>),
}

impl OutputFormat {
    /// Bytes of its text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::JsonSchema(text) | Self::Regex(text) | Self::Grammar(text) => text.len(),
            Self::Choice(choices) => choices.iter().map(|choice| choice.len()).sum(),
        }
    }
}

/// What a generation may do, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// At most so many tokens of output.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What becomes less likely.
    pub penalties: Penalties,
    /// What is added to the logits of these tokens before everything else; [`Params::BIAS_NEVER`] forbids the token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Ends the output where one of these appears; the text of the stop string is not part of it.
    pub stop: Vec<Box<str>>,
    /// End the output as the model's own end token does.
    pub stop_tokens: Vec<u32>,
    /// Asks for the log-probability of each token, and for so many of the likeliest beside it.
    pub logprobs: Option<u8>,
    /// Guesses tokens from the prompt and the output so far, and computes several of them at once: the same text, sooner where it
    /// repeats something (Saxena 2023, "Prompt Lookup Decoding").
    pub speculation: bool,
    /// What the answer has to look like. Not beside tools that may be called.
    pub format: OutputFormat,
}

impl Params {
    /// The bias that forbids a token. OpenAI's API says of it "should result in a ban"; here it does.
    pub const BIAS_NEVER: f32 = -100.0;

    /// The likeliest token each time, until the model ends or `max_tokens` are written; everything else is off.
    #[must_use]
    pub fn greedy(max_tokens: u32) -> Self {
        Self {
            max_tokens,
            sampling: Sampling::default(),
            penalties: Penalties::default(),
            logit_bias: Vec::new(),
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            logprobs: None,
            speculation: false,
            format: OutputFormat::Any,
        }
    }
}

/// A token, and how likely the model held it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredToken {
    /// In the model's vocabulary.
    pub id: u32,
    /// Natural logarithm of its probability, of all tokens, by the model's own logits: before bias, penalties, temperature
    /// and filters. So it says what the model holds, whatever the parameters.
    pub logprob: f32,
    /// What it stands for; may be a part of a character. Empty for control tokens.
    pub bytes: Box<[u8]>,
}

/// A token of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawnToken {
    /// The one that was drawn.
    pub token: ScoredToken,
    /// The likeliest ones, falling; of equal ones the lower id first.
    pub likeliest: Box<[ScoredToken]>,
}

impl DrawnToken {
    /// Of a value that holds some of them, one behind the other, as [`DrawnToken::append_to`] writes them.
    pub const MEDIA_TYPE: &str = "application/vnd.remit.logprobs";

    /// Writes it behind others: how many tokens, then the drawn one and the likeliest. The layout is that of `completion` in
    /// `wit/llm.wit`. Not JSON, which knows neither bytes nor an infinity, and which every guest would have to parse.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        // At most `limits::LOGPROBS_MAX` and one; what is more could not be counted in a byte.
        let likeliest = &self.likeliest[..self.likeliest.len().min(usize::from(u8::MAX) - 1)];
        out.push(likeliest.len() as u8 + 1);
        for token in std::iter::once(&self.token).chain(likeliest) {
            out.extend(token.id.to_le_bytes());
            out.extend(token.logprob.to_le_bytes());
            // No token of a vocabulary has 4 GiB; a length that were cut would still leave the layout whole.
            let bytes = &token.bytes[..token.bytes.len().min(u32::MAX as usize)];
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, logprob: f32, bytes: &[u8]) -> ScoredToken {
        ScoredToken { id, logprob, bytes: bytes.into() }
    }

    #[test]
    fn the_layout_of_a_drawn_token_is_as_documented() {
        let check = |drawn: &DrawnToken, expect: &[u8]| {
            let mut out = b"before".to_vec();
            drawn.append_to(&mut out);
            assert_eq!(out, [b"before", expect].concat());
        };
        let first = b"\x02\x01\0\0\0\0\0\x80\xbf\x02\0\0\0hi\x00\x01\0\0\0\0\x80\xff\0\0\0\0";
        let likeliest = [token(256, f32::NEG_INFINITY, b"")].into();
        check(&DrawnToken { token: token(1, -1.0, b"hi"), likeliest }, first);
        check(
            &DrawnToken { token: token(9, 0.0, b"\xff"), likeliest: [].into() },
            b"\x01\x09\0\0\0\0\0\0\0\x01\0\0\0\xff",
        );
    }
}
