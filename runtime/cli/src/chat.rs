//! `remit chat`: a person and an agent, in turns.
//!
//! Each turn is a task of its own, whose conversation is what was said so far: an agent needs nothing for it besides answering a
//! conversation. What the person types is trusted; what the agent said is as much trusted as it was when it said it.

use crate::{
    exit::CommandError,
    node,
    run::{Answer, Sink, Stage, Terms, follow, follow_on, interrupts},
};
use clap::Args;
use remit_abi::Role;
use remit_server::protocol::Message;
use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};
use tokio::sync::mpsc;

/// Bytes of one line, at most: more is no person's typing.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Talk with an agent: each line is a message, and the agent gets the talk so far. An interrupt ends an answer; at the prompt, or with the
/// end of the input, it ends the talk.
#[derive(Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    terms: Terms,
    /// How many earlier messages the agent is told again, its own included; 0 for one that remembers by itself
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    earlier: usize,
}

impl Chat {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let runtime = node::runtime(1)?;
        let result = runtime.block_on(self.talk());
        // Somebody may still wait for a line.
        runtime.shutdown_background();
        result
    }

    async fn talk(self) -> Result<ExitCode, CommandError> {
        let stage = self.terms.stage(|_| {}).await?;
        let mut lines = lines();
        let mut talk = Talk { said: Vec::new(), earlier: self.earlier };
        while let Some(line) = next(&mut lines).await? {
            if line.trim().is_empty() {
                continue;
            }
            let answer = self.turn(&stage, talk.with(line)).await?;
            talk.answered(&answer);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One answer, shown as it comes.
    async fn turn(&self, stage: &Stage, messages: Vec<Message>) -> Result<Answer, CommandError> {
        let mut sink = Sink::Talk(self.terms.terminal(), Answer::default());
        let (finished, _) = match stage {
            Stage::Here(here) => {
                let (node, agent) = &**here;
                follow(node, node.start(agent, self.terms.task(messages)?)?, &mut sink).await?
            }
            Stage::There(host) => follow_on(host, &self.terms.request(messages)?, &mut sink).await?,
        };
        sink.finished(&finished)?;
        Ok(match sink {
            Sink::Talk(_, answer) => answer,
            Sink::Terminal(_) | Sink::Json(_) => Answer::default(),
        })
    }
}

/// What was said so far.
struct Talk {
    said: Vec<Message>,
    earlier: usize,
}

impl Talk {
    /// The conversation with one more message of the person.
    fn with(&mut self, text: String) -> Vec<Message> {
        let older = self.said.len().saturating_sub(self.earlier);
        self.said.drain(..older);
        self.said.push(Message { text, trusted: true, role: Role::User });
        self.said.clone()
    }

    /// Keeps what the agent said. Where it said nothing, so that there is nothing to go on from, the question goes as well.
    fn answered(&mut self, answer: &Answer) {
        let text = String::from_utf8_lossy(&answer.text).trim_end().to_owned();
        if text.is_empty() {
            self.said.pop();
        } else {
            self.said.push(Message { text, trusted: !answer.is_untrusted, role: Role::Assistant });
        }
    }
}

/// The lines of standard input, from a thread of their own: no read of it can be given up.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                break;
            }
        }
    });
    lines
}

/// What the person says next; `None` at the end of the talk.
async fn next(lines: &mut mpsc::Receiver<io::Result<String>>) -> Result<Option<String>, CommandError> {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        // A prompt that cannot be shown keeps nobody from typing.
        let _unseen = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
    }
    let mut interrupts = interrupts()?;
    let line = tokio::select! {
        line = lines.recv() => line,
        Some(()) = interrupts.recv() => None,
    };
    match line {
        Some(Ok(line)) if line.len() > LINE_BYTES_MAX => Err(CommandError::Usage(format!(
            "a line has more than {LINE_BYTES_MAX} bytes: give a document to `remit run`"
        ))),
        Some(Ok(line)) => Ok(Some(line)),
        Some(Err(error)) => Err(CommandError::Usage(format!("standard input is no text: {error}"))),
        None => {
            if is_terminal {
                eprintln!();
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(earlier: usize) -> Talk {
        Talk { said: Vec::new(), earlier }
    }

    fn answer(text: &str, is_untrusted: bool) -> Answer {
        Answer { text: text.as_bytes().to_vec(), is_untrusted }
    }

    #[test]
    fn the_agent_is_told_what_was_said_and_how_far_it_is_trusted() {
        let mut talk = talk(20);
        assert_eq!(talk.with("one".to_owned()).len(), 1);
        talk.answered(&answer("two\n", true));
        let told = talk.with("three".to_owned());
        let shown: Vec<_> = told.iter().map(|said| (said.role, said.text.as_str(), said.trusted)).collect();
        assert_eq!(shown, [(Role::User, "one", true), (Role::Assistant, "two", false), (Role::User, "three", true)]);
    }

    #[test]
    fn old_messages_are_left_out_and_so_is_what_got_no_answer() {
        let mut forgetful = talk(2);
        for text in ["a", "b", "c"] {
            forgetful.with(text.to_owned());
            forgetful.answered(&answer("yes", false));
        }
        let told = forgetful.with("d".to_owned());
        assert_eq!(told.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["c", "yes", "d"]);
        let mut alone = talk(0);
        alone.with("a".to_owned());
        alone.answered(&answer("", false));
        assert_eq!(alone.with("b".to_owned()).len(), 1);
    }
}
