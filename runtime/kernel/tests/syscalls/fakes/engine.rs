//! An engine that answers from a script.

use parking_lot::Mutex;
use remit_abi::{DrawnToken, OutputFormat, ScoredToken, TenantId, ToolCall, Toolset};
use remit_kernel::ports::{
    ChatMessage, EmbedOutcome, Engine, EngineError, EngineEvent, EngineFinish, EngineStream, GenerationJob, Meter,
    ModelCard, PortFuture, PromptText,
};
use std::{
    collections::{HashMap, VecDeque},
    future::ready,
    sync::Arc,
};
use tokio::sync::mpsc;

/// What the engine does with the next generation.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// Writes one letter a token until `max_tokens`.
    Letters,
    /// Writes these, then ends.
    Words(&'static [&'static str]),
    /// Writes these, then asks for calls, by name and arguments, and ends. Their ids are `c0` and so on.
    Calls(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// Writes these, then fails.
    Fails(&'static [&'static str]),
    /// Writes these, then goes away without a word.
    Vanishes(&'static [&'static str]),
    /// Writes these, then nothing until it is cancelled.
    Stalls(&'static [&'static str]),
    /// Writes nothing and fails by itself: others are not harmed.
    FailsAlone,
    /// Does not take it: its queue is full.
    IsBusy,
    /// Does not take it: it has stopped.
    HasStopped,
}

/// A word as a token, with so many others beside it.
pub(crate) fn drawn(word: &str, likeliest: u8) -> DrawnToken {
    let token = |id, logprob| ScoredToken { id, logprob, bytes: word.as_bytes().into() };
    DrawnToken { token: token(7, -0.5), likeliest: (0..likeliest).map(|id| token(u32::from(id), -1.0)).collect() }
}

/// A call as the engine asks for it.
pub(crate) fn call(index: usize, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: format!("c{index}").into(), name: name.into(), arguments: arguments.into() }
}

/// A message as the engine's tokens have it.
fn said(message: &ChatMessage) -> String {
    match message {
        ChatMessage::Said { content, .. } => content.clone(),
        ChatMessage::Called { content, calls } => {
            let calls = calls.iter().map(|call| format!("[{} {} {}]", call.id, call.name, call.arguments));
            content.clone() + &calls.collect::<String>()
        }
        ChatMessage::Result { id, name, content } => format!("({id} {name} {content})"),
    }
}

/// A model besides `m`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub(crate) context_length: u32,
    /// How many tokens a letter of the prompt is.
    pub(crate) letter: usize,
}

/// An engine whose tokens are letters of the prompt.
#[derive(Default)]
pub(crate) struct ScriptedEngine {
    pub(crate) plays: Mutex<VecDeque<Play>>,
    /// Models besides `m`, and what each does next.
    pub(crate) others: Mutex<HashMap<&'static str, (Other, VecDeque<Play>)>>,
    pub(crate) jobs: Mutex<Vec<GenerationJob>>,
    meters: Mutex<Vec<Arc<Meter>>>,
    /// Streams that stall are kept open here.
    stalled: Mutex<Vec<mpsc::Sender<EngineEvent>>>,
}

impl ScriptedEngine {
    /// Serves another model, which plays these and then letters.
    pub(crate) fn serve(&self, name: &'static str, other: Other, plays: &[Play]) {
        self.others.lock().insert(name, (other, plays.iter().cloned().collect()));
    }

    /// The models that were asked, in this order.
    pub(crate) fn asked(&self) -> Vec<Arc<str>> {
        self.jobs.lock().iter().map(|job| job.model.clone()).collect()
    }

    fn play(&self, model: &str) -> Play {
        match self.others.lock().get_mut(model) {
            Some((_, plays)) => plays.pop_front(),
            None => self.plays.lock().pop_front(),
        }
        .unwrap_or(Play::Letters)
    }

    /// Whether it was asked to stop one, by their order.
    pub(crate) fn was_cancelled(&self, generation: usize) -> bool {
        self.meters.lock()[generation].is_cancelled()
    }
}

impl Engine for ScriptedEngine {
    fn card(&self, model: &str) -> Result<ModelCard, EngineError> {
        match model {
            "m" => Ok(ModelCard {
                name: "m".into(),
                family: "fake".into(),
                context_length: 100,
                // Characters.
                vocabulary: 0x11_0000,
                digest: "d".into(),
            }),
            _ => match self.others.lock().get(model) {
                Some((other, _)) => Ok(ModelCard {
                    name: model.into(),
                    family: "fake".into(),
                    context_length: other.context_length,
                    vocabulary: 0x11_0000,
                    digest: "o".into(),
                }),
                None => Err(EngineError::UnknownModel { name: model.into(), known: "m".into() }),
            },
        }
    }

    fn tokenize(&self, model: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        let letter = self.others.lock().get(model).map_or(1, |(other, _)| other.letter);
        let text = match prompt {
            PromptText::Text(text) => text.clone(),
            PromptText::Chat(chat) => chat.messages.iter().map(said).collect(),
        };
        Ok(text.chars().flat_map(|c| std::iter::repeat_n(u32::from(c), letter)).collect())
    }

    /// Every format, but the grammar `impossible`; all tools.
    fn accepts(&self, _: TenantId, _: &str, format: &OutputFormat, _: Option<&Toolset>) -> Result<(), EngineError> {
        match format {
            OutputFormat::Grammar(grammar) if &**grammar == "impossible" => {
                Err(EngineError::Format("no text fits the grammar".into()))
            }
            _ => Ok(()),
        }
    }

    /// Its number of tokens, and a half; nothing for a text that begins with an exclamation mark.
    fn embed(&self, _: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        let vectors = texts.iter().filter(|text| text.first() != Some(&u32::from('!')));
        let vectors = vectors.map(|text| vec![text.len() as f32, 0.5]).collect();
        Ok(Box::pin(ready(Ok(vectors))))
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
        let play = self.play(&job.model);
        self.jobs.lock().push(job.clone());
        match play {
            Play::IsBusy => return Err(EngineError::Busy { waiting: 7 }),
            Play::HasStopped => return Err(EngineError::Stopped("the device is lost".into())),
            _ => {}
        }
        let meter = Arc::new(Meter::default());
        let (sender, events) = mpsc::channel(1000);
        meter.add_input(u32::try_from(job.prompt.len()).expect("small"));
        let send = |event| sender.try_send(event).expect("the channel holds a whole generation");
        let write = |words: &[&str]| {
            for word in words {
                meter.add_output(1);
                if let Some(likeliest) = job.params.logprobs {
                    send(EngineEvent::Token(Box::new(drawn(word, likeliest))));
                }
                send(EngineEvent::Text((*word).to_owned()));
            }
        };
        match play {
            Play::Letters => {
                (0..job.params.max_tokens).for_each(|_| write(&["a"]));
                send(EngineEvent::End(EngineFinish::Length));
            }
            Play::Words(words) => {
                write(words);
                send(EngineEvent::End(EngineFinish::Stop));
            }
            Play::Calls(words, calls) => {
                write(words);
                for (index, (name, arguments)) in calls.iter().enumerate() {
                    meter.add_output(1);
                    send(EngineEvent::ToolCall(Box::new(call(index, name, arguments))));
                }
                send(EngineEvent::End(EngineFinish::ToolCalls));
            }
            Play::Fails(words) => {
                write(words);
                send(EngineEvent::Failed(EngineError::Stopped("the device is lost".into())));
            }
            Play::Vanishes(words) => write(words),
            Play::Stalls(words) => {
                write(words);
                self.stalled.lock().push(sender.clone());
            }
            Play::FailsAlone => send(EngineEvent::Failed(EngineError::Failed("it is poison".into()))),
            Play::IsBusy | Play::HasStopped => unreachable!("it did not take it"),
        }
        self.meters.lock().push(meter.clone());
        Ok(EngineStream { events, meter })
    }
}

/// Of the scripted engine's vectors.
pub(crate) const EMBEDDING_WIDTH: u32 = 2;
