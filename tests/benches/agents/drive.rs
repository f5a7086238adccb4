//! Lets agents talk to an engine through the kernel's port, each as a process would: it renders its whole conversation in each
//! turn, and reads the answer as it comes.

use super::fleet::{Conversation, OUTPUT_TOKENS, Plan};
use futures::future::join_all;
use remit_abi::{Params, Priority, TenantId};
use remit_inference::{Limits, LocalEngine, ModelFile, Totals, gguf::Gguf, tokenizer::Tokenizer};
use remit_kernel::ports::{Engine as _, EngineEvent, EngineStream, GenerationJob, Meter};
use std::{
    cell::RefCell,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// The name by which programs get a model that ask for any.
pub(crate) const MODEL: &str = "smollm2";

/// A model to talk to.
pub(crate) struct Model<'a> {
    pub(crate) path: &'a Path,
    /// The tokens that end a text. They are forbidden, so that all answers are of one length.
    pub(crate) ends: Vec<u32>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(path: &'a Path) -> Self {
        let tokenizer = Tokenizer::from_gguf(&Gguf::open(path).expect("the set-up fetched it"));
        Self { path, ends: tokenizer.expect("the set-up fetched it").ends().to_vec() }
    }

    /// An engine that serves it, with nothing in it yet.
    pub(crate) fn engine(&self, limits: Limits) -> LocalEngine {
        let file = ModelFile { name: MODEL.into(), path: self.path.into(), digest: "0".into() };
        LocalEngine::load(&[file], limits).expect("the set-up fetched it")
    }

    pub(crate) fn params(&self, output: u32) -> Params {
        let logit_bias = self.ends.iter().map(|end| (*end, Params::BIAS_NEVER)).collect();
        Params { logit_bias, ..Params::greedy(output) }
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) tenant: u32,
    pub(crate) program: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Tokens that were drawn.
    pub(crate) tokens: u64,
    /// Until all was done, or the window ended.
    pub(crate) seconds: f64,
    /// Of each turn that ended, from its request to its last token.
    pub(crate) turns: Vec<f64>,
    /// Of the others, as far as they came.
    pub(crate) unended: Vec<f64>,
}

impl Run {
    pub(crate) fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }

    /// A share of all turns took no longer; those that did not end count as if they had ended with the window.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut all = [self.turns.as_slice(), &self.unended].concat();
        super::common::percentile(&mut all, share)
    }
}

/// What agents note while they talk.
#[derive(Default)]
struct Tally {
    meters: Vec<Arc<Meter>>,
    turns: Vec<f64>,
    /// When each turn was asked that is not answered.
    open: Vec<Instant>,
}

/// Talks to an engine, and notes it.
pub(crate) struct Driver<'a> {
    engine: &'a LocalEngine,
    params: Params,
    tally: RefCell<Tally>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(model: &Model<'_>, engine: &'a LocalEngine) -> Self {
        Self { engine, params: model.params(OUTPUT_TOKENS), tally: RefCell::default() }
    }

    /// The tokens of a conversation.
    pub(crate) fn tokens(&self, conversation: &Conversation) -> Arc<[u32]> {
        self.engine.tokenize(MODEL, &conversation.prompt()).expect("it has a template")
    }

    /// Asks, and answers with a stream.
    pub(crate) fn ask(&self, seat: Seat, prompt: Arc<[u32]>) -> EngineStream {
        let Seat { tenant, program } = seat;
        let (tenant, priority, params) = (TenantId(tenant), Priority::Normal, self.params.clone());
        let job = GenerationJob { tenant, program, priority, model: MODEL.into(), prompt, params, tools: None };
        self.engine.generate(job).expect("there is room in the queue")
    }

    /// One turn, from the request to the last token; the answer. `begins` is called when its first word is there.
    async fn turn(&self, seat: Seat, conversation: &Conversation, mut begins: impl FnMut()) -> String {
        let asked = Instant::now();
        self.tally.borrow_mut().open.push(asked);
        let mut stream = self.ask(seat, self.tokens(conversation));
        self.tally.borrow_mut().meters.push(stream.meter.clone());
        let mut answer = String::new();
        while let Some(event) = stream.events.recv().await {
            match event {
                EngineEvent::Text(text) => {
                    if answer.is_empty() {
                        begins();
                    }
                    answer += &text;
                }
                EngineEvent::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
        let tally = &mut *self.tally.borrow_mut();
        tally.turns.push(asked.elapsed().as_secs_f64());
        let place = tally.open.iter().position(|open| *open == asked);
        place.map(|place| tally.open.swap_remove(place));
        answer
    }

    /// An agent's turns.
    pub(crate) async fn agent(&self, seat: Seat, plan: &Plan) {
        let mut conversation = Conversation::new();
        for (think, text) in plan.thinks.iter().zip(&plan.turns) {
            tokio::time::sleep(*think).await;
            conversation.ask(text);
            let answer = self.turn(seat, &conversation, || ()).await;
            conversation.answered(&answer);
        }
    }

    /// All agents of a tenant, side by side.
    pub(crate) async fn agents(&self, tenant: u32, plans: &[Plan]) {
        let seats = (1..).map(|program| Seat { tenant, program });
        join_all(seats.zip(plans).map(|(seat, plan)| self.agent(seat, plan))).await;
    }

    /// Agents that never stop and never think. Each adds a permit to `risen` when it is first answered.
    pub(crate) async fn flood(&self, tenant: u32, plans: &[Plan], risen: &Semaphore) {
        let flood = async |(program, plan): (u64, &Plan)| {
            let mut unanswered = Some(risen);
            loop {
                let mut conversation = Conversation::new();
                for text in &plan.turns {
                    conversation.ask(text);
                    let begins = || unanswered.take().into_iter().for_each(|risen| risen.add_permits(1));
                    let answer = self.turn(Seat { tenant, program }, &conversation, begins).await;
                    conversation.answered(&answer);
                }
            }
        };
        join_all((1..).zip(plans).map(flood)).await;
    }

    /// Waits for agents, a window long at most, and tells what was noted.
    pub(crate) fn run(&self, window: Duration, agents: impl Future<Output = ()>) -> Run {
        drop(self.tally.take());
        let begin = Instant::now();
        // Whoever has not ended by then is noted as such.
        let _ = block_on(async { tokio::time::timeout(window, agents).await });
        let (now, tally) = (Instant::now(), self.tally.take());
        Run {
            tokens: tally.meters.iter().map(|meter| u64::from(meter.usage().output)).sum(),
            seconds: (now - begin).as_secs_f64(),
            turns: tally.turns,
            unended: tally.open.iter().map(|open| (now - *open).as_secs_f64()).collect(),
        }
    }
}

/// On this thread, with timers.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("it takes no thread").block_on(future)
}

/// One line of what an engine did.
pub(crate) fn said(totals: &Totals) -> String {
    let rows = totals.prefill_rows + totals.decode_rows;
    format!(
        "{} steps of {:.1} rows, {} rows of prompts, {:.1} % of tokens at hand, {} preemptions",
        totals.steps,
        rows as f64 / totals.steps.max(1) as f64,
        totals.prefill_rows,
        totals.hits() * 100.0,
        totals.preemptions
    )
}
