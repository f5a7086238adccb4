//! Calls of tools that a host's end cut: whether they are done again.
//!
//! | a call that was | and its tool | is |
//! | --- | --- | --- |
//! | settled | – | its caller's to take |
//! | not begun | – | begun |
//! | begun | changes nothing, is idempotent, or takes the key | done again, with the same key |
//! | begun | acts once: `fail` | settled as uncertain |
//! | begun | acts once: `retry` | done again, with the same key |
//! | begun | acts once: `ask` | a question to a person, until that is answered |
//! | begun | is not declared any more | settled: uncertain, or not begun where it changes nothing |
//! | a caller's that ended with its host | – | gone |
//!
//! What a person says is a record before anything follows from it, and a call that is begun once more because a person said so is as
//! uncertain as before if the host ends again.

use crate::{
    effects::{Full, PendingToolCall, Phase},
    inbox::PendingQuestion,
    kernel::Shared,
    ports::{
        Change, Decided, Effect, GivenAnswer, PostedQuestion, PostedToolCall, Response, ToolCallImage, ToolOutcome,
        Uncertain, ValueImage, Verdict,
    },
    process::TEXT,
    replay::Links,
};
use remit_abi::{HumanError, Pid, TenantId, Wanted, limits};
use std::{collections::HashSet, sync::Arc};

/// What a person may say, in the order of the choices.
const VERDICTS: [(Verdict, &str); 3] =
    [(Verdict::WasDone, "it was done"), (Verdict::DoItNow, "it was not done: do it now"), (Verdict::GiveUp, "give up")];

/// How much of the arguments a person is shown, in bytes: the rest is what they have seen the like of.
const SHOWN_BYTES_MAX: usize = 16 << 10;

/// A call that people are asked about.
pub(crate) struct Doubt {
    tenant: TenantId,
    number: u64,
    pending: Arc<PendingToolCall>,
    question: Arc<PendingQuestion>,
}

/// What becomes of a call that was cut.
enum Fate {
    /// It is begun, or done again.
    Begin,
    Settle(ToolOutcome),
    Ask {
        desk: Box<str>,
    },
}

impl Shared {
    /// A call that nobody has taken the outcome of. Nothing is begun here.
    pub(crate) fn restore_tool_call(
        self: &Arc<Self>,
        mut image: ToolCallImage,
        links: &Links,
        living: &HashSet<Pid>,
    ) -> Option<Doubt> {
        let (number, question) = (image.posted.number, image.question);
        if !living.contains(&image.posted.caller) {
            let gone = question.map(|number| Change::QuestionGone { number });
            self.change(None, [Change::ToolCallGone { number }].into_iter().chain(gone));
            return None;
        }
        let (phase, doubted) = match self.fate(&image) {
            None => (Phase::Settled, None),
            Some(Fate::Begin) => (Phase::Waiting, None),
            Some(Fate::Settle(outcome)) => {
                self.settle_cut(&mut image, outcome);
                (Phase::Settled, None)
            }
            Some(Fate::Ask { desk }) => match self.asked_about(&mut image, links, desk) {
                Ok(question) => (Phase::Doubted, Some(question)),
                Err(Full(limit)) => {
                    let why =
                        format!("the host ended while it ran, and {limit} questions are open, the most that may be");
                    self.settle_cut(&mut image, ToolOutcome::Uncertain(why.into()));
                    (Phase::Settled, None)
                }
            },
        };
        let tenant = image.posted.caller.tenant;
        if let Some(number) = question.filter(|_| doubted.is_none()) {
            // What was declared meanwhile asks nobody.
            self.inbox.lock().remove(tenant, number);
            self.change(None, [Change::QuestionGone { number }]);
            image.question = None;
        }
        let pending = self.effects.lock().restore(image, phase);
        links.keep_tool_call(pending.clone());
        doubted.map(|question| Doubt { tenant, number, pending, question })
    }

    /// What becomes of a call; `None` where something has come of it.
    fn fate(&self, image: &ToolCallImage) -> Option<Fate> {
        let ToolCallImage { posted, attempts, outcome, .. } = image;
        if outcome.is_some() {
            return None;
        }
        if !self.grants.lock().is_live(posted.grant) {
            return Some(Fate::Settle(ToolOutcome::Withdrawn));
        }
        if *attempts == 0 {
            return Some(Fate::Begin);
        }
        let facts = self.ports.tools.facts(posted.caller.tenant, &posted.tool);
        Some(match facts.as_deref().map(|facts| (facts.effect, &facts.uncertain)) {
            Some((Effect::None | Effect::Idempotent | Effect::Keyed, _) | (Effect::Once, Uncertain::Retry)) => {
                Fate::Begin
            }
            Some((Effect::Once, Uncertain::Ask { desk })) => Fate::Ask { desk: desk.clone() },
            Some((Effect::Once, Uncertain::Fail)) => {
                Fate::Settle(ToolOutcome::Uncertain("the host ended while it ran".into()))
            }
            None => Fate::Settle(undeclared(posted)),
        })
    }

    fn settle_cut(&self, image: &mut ToolCallImage, outcome: ToolOutcome) {
        let number = image.posted.number;
        self.change(None, [Change::ToolReturned { number, outcome: Box::new(outcome.clone()), decided: None }]);
        image.settle(outcome, None);
    }

    /// The question about a call: the one that was asked before the host started anew, or a new one.
    fn asked_about(
        &self,
        image: &mut ToolCallImage,
        links: &Links,
        desk: Box<str>,
    ) -> Result<Arc<PendingQuestion>, Full> {
        if let Some(question) = image.question.and_then(|number| links.known_question(number)) {
            return Ok(question);
        }
        let posted = self.question_about(image, desk);
        let question = posted.number;
        let (pending, _) = self.inbox.lock().post(posted.clone()).map_err(|full| Full(full.0))?;
        let number = image.posted.number;
        self.change(None, [Change::Questioned(Box::new(posted)), Change::ToolDoubted { number, question }]);
        self.inbox.lock().show(question);
        image.question = Some(question);
        Ok(pending)
    }

    fn question_about(&self, image: &ToolCallImage, desk: Box<str>) -> PostedQuestion {
        let posted = &image.posted;
        let asked_ns = self.ports.clock.wall_ns();
        PostedQuestion {
            number: self.next_question(),
            asker: posted.caller,
            package: posted.package.clone(),
            // What the process runs is no part of this: no approval ever answers it.
            digest: "".into(),
            grant: posted.grant,
            desk,
            wanted: Wanted::Answer { choices: VERDICTS.iter().map(|(_, choice)| (*choice).into()).collect() },
            content: ValueImage {
                bytes: sentence(image).into(),
                media_type: TEXT.into(),
                label: posted.arguments.label,
            },
            asked_ns,
            expires_ns: asked_ns.saturating_add(limits::QUESTION_TIME_NS_MAX),
        }
    }

    /// Sets all calls going that stand in line after the host started anew, and waits for people about the doubted ones.
    pub(crate) fn resume_tool_calls(self: &Arc<Self>, doubts: Vec<Doubt>) {
        let tenants = self.effects.lock().tenants();
        tenants.into_iter().for_each(|tenant| self.begin_tool_calls(tenant));
        for doubt in doubts {
            self.ports.tools.run(Box::pin(self.clone().await_decision(doubt)));
        }
    }

    async fn await_decision(self: Arc<Self>, doubt: Doubt) {
        let Doubt { tenant, number, pending, question } = doubt;
        let clock = &*self.ports.clock;
        while !question.is_ready(clock) {
            tokio::select! {
                biased;
                () = pending.ready() => return,
                () = question.step(clock) => {}
            }
        }
        let taken = self.inbox.lock().take(tenant, &question, |answer, _| Ok(answer));
        let (outcome, decided) = match taken {
            Ok(answer) => match decided(answer) {
                Some(decided) if decided.verdict == Verdict::DoItNow => return self.do_it_now(tenant, number, decided),
                Some(decided) => (outcome_of(&decided), Some(decided)),
                None => return,
            },
            Err(HumanError::Expired) => {
                let why = "the host ended while it ran, and nobody said in time whether it had been done";
                (ToolOutcome::Uncertain(why.into()), None)
            }
            // Its grant was revoked, and the call withdrawn with it.
            Err(_) => return,
        };
        self.tool_returned(tenant, number, outcome, decided).await;
    }

    /// A person said that it is to be done: it stands in line again.
    fn do_it_now(self: &Arc<Self>, tenant: TenantId, number: u64, decided: Decided) {
        if let Some(call) = self.effects.lock().open(tenant, number) {
            call.phase = Phase::Waiting;
            call.image.decided = Some(decided);
        }
        self.begin_tool_calls(tenant);
    }
}

fn undeclared(posted: &PostedToolCall) -> ToolOutcome {
    let tool = &posted.tool;
    match posted.effect {
        Effect::None => {
            ToolOutcome::Unavailable(format!("the tool {tool} is not declared on this host any more").into())
        }
        _ => {
            let why = format!("the host ended while it ran, and the tool {tool} is not declared on this host any more");
            ToolOutcome::Uncertain(why.into())
        }
    }
}

/// What a person decided; nothing where it is no answer to such a question.
fn decided(answer: GivenAnswer) -> Option<Decided> {
    let GivenAnswer { by, at_ns, response } = answer;
    let Response::Choice(choice) = response else { return None };
    let (verdict, _) = *VERDICTS.get(choice as usize)?;
    Some(Decided { by, at_ns, verdict })
}

fn outcome_of(decided: &Decided) -> ToolOutcome {
    let by = &decided.by;
    match decided.verdict {
        Verdict::WasDone => ToolOutcome::Lost(format!("{by} says that it was done").into()),
        Verdict::DoItNow | Verdict::GiveUp => {
            ToolOutcome::Uncertain(format!("the host ended while it ran, and {by} gave it up").into())
        }
    }
}

/// What a person is shown.
fn sentence(image: &ToolCallImage) -> String {
    let PostedToolCall { number, caller, package, tool, key, arguments, called_ns, .. } = &image.posted;
    let text = String::from_utf8_lossy(&arguments.bytes);
    let shown = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
    let cut = if shown.len() < text.len() { " ... (there is more)" } else { "" };
    let seconds = called_ns / 1_000_000_000;
    format!(
        "The tool {tool} was called by {package} (process {caller}), {seconds} seconds after 1970-01-01T00:00:00Z, and the host ended \
         before it returned: it may have been done, and must not be done twice. Look there whether it was.\n\
         Call: {number}\nKey: {key}\nBegun: {} times\nArguments: {shown}{cut}",
        image.attempts
    )
}
