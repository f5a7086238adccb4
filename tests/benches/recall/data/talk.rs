//! Conversations in which facts are said once, among much else.

use super::{facts::Fact, random::Random};

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    User,
    Assistant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) speaker: Speaker,
    pub(crate) text: String,
}

/// Lines, and which of them say the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) lines: Vec<Line>,
    /// For each fact the place of its line, in the facts' order.
    pub(crate) places: Vec<usize>,
    /// Of all lines, as they were counted.
    pub(crate) tokens: usize,
}

/// How long a conversation is to be, in tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// At least so many, more where facts and near-misses alone have more.
    pub(crate) whole: usize,
    /// Behind the last fact, in chatter: more than a window, so that no fact is in it when it is asked for.
    pub(crate) after: usize,
}

/// What has nothing to do with any fact: one of these and one of the others.
const SMALL_TALK: [&str; 20] = [
    "The rain has not stopped since breakfast",
    "I moved the desk to the other wall",
    "Somebody has left the gate open again",
    "The soup needed more salt",
    "I read half of the novel on the train",
    "The clock in the hall is slow",
    "We counted eleven swans on the lake",
    "My shoes are still wet from yesterday",
    "The meeting was moved to Thursday",
    "I have repotted the fern",
    "The lift makes a strange sound",
    "There was a power cut last night",
    "I cannot find the second glove",
    "The printer is out of paper",
    "They have repainted the benches in the park",
    "I slept badly because of the wind",
    "The curtains do not close",
    "We walked along the canal",
    "The neighbours have a new hedge",
    "The heating hums all evening",
];

const MORE_SMALL_TALK: [&str; 20] = [
    "and the gutters sound like a brook",
    "but nobody said a word about it",
    "so I stayed at home",
    "and it looks better than before",
    "though it was cold",
    "and then I fell asleep",
    "as it does every week",
    "and we had to laugh",
    "but I do not mind",
    "so the afternoon was quiet",
    "and tomorrow it may snow",
    "which suits everybody",
    "and I forgot the key",
    "but the view is lovely",
    "and the tea got cold meanwhile",
    "so we took the stairs",
    "and there is a puddle under it",
    "but it will pass",
    "and I wrote it on a slip of paper",
    "as far as I can tell",
];

const REPLIES: [&str; 8] = [
    "I see.",
    "Thank you for telling me.",
    "Noted.",
    "That is good to know.",
    "I will keep that in mind.",
    "All right.",
    "Understood.",
    "Interesting, go on.",
];

const OPENINGS: [&str; 6] =
    ["", "By the way: ", "Oh, and: ", "Did I mention it? ", "Before I forget: ", "As I was told today: "];

impl Talk {
    /// One that says these facts and their near-misses in an order of the seed, each in a line of the user's of its own, with small talk between
    /// and behind. `count` says how many tokens a text has.
    pub(crate) fn of(seed: u64, facts: &[Fact], length: Length, count: impl Fn(&str) -> usize) -> Self {
        let mut random = Random::new(seed);
        let mut said: Vec<(Option<usize>, &str)> = Vec::new();
        for (number, fact) in facts.iter().enumerate() {
            said.push((Some(number), fact.said.as_str()));
            said.extend(fact.near_misses.iter().map(|miss| (None, miss.as_str())));
        }
        random.shuffle(&mut said);
        let of_told: usize = said.iter().map(|(_, text)| count(text) + count(OPENINGS[1]) + count(REPLIES[0])).sum();
        let between = length.whole.saturating_sub(length.after + of_told);
        let talk = Self { lines: Vec::new(), places: vec![0; facts.len()], tokens: 0 };
        let mut writer = Writer { random, count, talk, small: 0 };
        let gaps = said.len().max(1);
        for (done, (fact, text)) in said.into_iter().enumerate() {
            writer.chat_until(between * done / gaps);
            if let Some(fact) = fact {
                writer.talk.places[fact] = writer.talk.lines.len();
            }
            let opening = writer.random.of(&OPENINGS);
            writer.exchange(format!("{opening}{text}"));
        }
        // What was counted above was counted roughly.
        let missing = length.whole.saturating_sub(writer.talk.tokens);
        writer.chat_until(writer.small + length.after.max(missing));
        writer.talk
    }
}

/// A conversation being written.
struct Writer<C> {
    random: Random,
    count: C,
    talk: Talk,
    /// Tokens of small talk so far.
    small: usize,
}

impl<C: Fn(&str) -> usize> Writer<C> {
    fn say(&mut self, speaker: Speaker, text: String) {
        self.talk.tokens += (self.count)(&text);
        self.talk.lines.push(Line { speaker, text });
    }

    /// The user says something, and is answered.
    fn exchange(&mut self, text: String) {
        self.say(Speaker::User, text);
        let reply = self.random.of(&REPLIES);
        self.say(Speaker::Assistant, reply.to_owned());
    }

    /// Small talk until there are so many tokens of it.
    fn chat_until(&mut self, tokens: usize) {
        while self.small < tokens {
            let before = self.talk.tokens;
            let (first, second) = (self.random.of(&SMALL_TALK), self.random.of(&MORE_SMALL_TALK));
            self.exchange(format!("{first}, {second}."));
            self.small += self.talk.tokens - before;
        }
    }
}
