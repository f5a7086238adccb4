//! Simulated agents: what each says, and how long it thinks between its turns. The same every time.

use super::random::Random;
use remit_abi::Role;
use remit_kernel::ports::{ChatMessage, PromptText};
use std::time::Duration;

/// What all agents are told first: some 580 tokens, as the tools of a shop's back office.
const SYSTEM: &str = include_str!("system.txt");
/// Tokens of each answer: a tool call, or a sentence.
pub(crate) const OUTPUT_TOKENS: u32 = 32;
/// Between two turns, on average: a tool that is fast. Longer ones make the run longer, and the engine idler.
const THINK_SECONDS: f64 = 0.5;
/// Of all that is drawn here.
const SEED: u64 = 20_261_122;

const PARTS: [&str; 8] = ["brake lever", "saddle", "rear wheel", "chain", "bell", "front light", "pedal", "tyre"];
const TROUBLES: [&str; 8] = [
    "came broken",
    "is too small",
    "has not come",
    "does not fit",
    "was paid twice",
    "is the wrong one",
    "went to another town",
    "makes a noise",
];
const QUESTIONS: [&str; 4] = [
    "What can he do, and by when will he hear of it?",
    "Look it up, and say what it would cost to send another.",
    "He wants his money back, or another one by Friday.",
    "Say which of the two is in stock, and keep one for him.",
];

/// What an agent does.
pub(crate) struct Plan {
    /// Before each turn.
    pub(crate) thinks: Vec<Duration>,
    /// What it says in each turn: some 45 tokens.
    pub(crate) turns: Vec<String>,
}

/// So many agents, of so many turns each.
pub(crate) fn fleet(agents: usize, turns: usize) -> Vec<Plan> {
    let mut random = Random::new(SEED);
    let plan = |_| Plan {
        thinks: (0..turns).map(|_| random.exponential(THINK_SECONDS)).collect(),
        turns: (0..turns).map(|_| request(&mut random)).collect(),
    };
    (0..agents).map(plan).collect()
}

fn request(random: &mut Random) -> String {
    let (customer, order) = (random.below(90_000) + 10_000, random.below(900_000) + 100_000);
    let [first, second] = [(); 2].map(|()| random.of(&PARTS));
    let [trouble, other] = [(); 2].map(|()| random.of(&TROUBLES));
    let question = random.of(&QUESTIONS);
    format!("Customer {customer} asks about order {order}: the {first} {trouble}, and the {second} {other}. {question}")
}

fn message(role: Role, content: &str) -> ChatMessage {
    ChatMessage::said(role, content)
}

/// A conversation, as an agent sends all of it with each turn.
#[derive(Clone)]
pub(crate) struct Conversation(Vec<ChatMessage>);

impl Conversation {
    pub(crate) fn new() -> Self {
        Self(vec![message(Role::System, SYSTEM)])
    }

    pub(crate) fn ask(&mut self, text: &str) {
        self.0.push(message(Role::User, text));
    }

    pub(crate) fn answered(&mut self, text: &str) {
        self.0.push(message(Role::Assistant, text));
    }

    pub(crate) fn prompt(&self) -> PromptText {
        PromptText::Chat(self.0.clone().into())
    }
}
