//! An engine that answers from a script.

use parking_lot::Mutex;
use remit_abi::{DrawnToken, ScoredToken};
use remit_kernel::ports::{
    EmbedOutcome, Engine, EngineError, EngineEvent, EngineFinish, EngineStream, GenerationJob, Meter, ModelCard,
    PortFuture, PromptText,
};
use std::{collections::VecDeque, future::ready, sync::Arc};
use tokio::sync::mpsc;

/// What the engine does with the next generation.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// Writes one letter a token until `max_tokens`.
    Letters,
    /// Writes these, then ends.
    Words(&'static [&'static str]),
    /// Writes these, then fails.
    Fails(&'static [&'static str]),
    /// Writes these, then goes away without a word.
    Vanishes(&'static [&'static str]),
    /// Writes these, then nothing until it is cancelled.
    Stalls(&'static [&'static str]),
}

/// A word as a token, with so many others beside it.
pub(crate) fn drawn(word: &str, likeliest: u8) -> DrawnToken {
    let token = |id, logprob| ScoredToken { id, logprob, bytes: word.as_bytes().into() };
    DrawnToken { token: token(7, -0.5), likeliest: (0..likeliest).map(|id| token(u32::from(id), -1.0)).collect() }
}

/// An engine whose tokens are letters of the prompt.
#[derive(Default)]
pub(crate) struct ScriptedEngine {
    pub(crate) plays: Mutex<VecDeque<Play>>,
    pub(crate) jobs: Mutex<Vec<GenerationJob>>,
    meters: Mutex<Vec<Arc<Meter>>>,
    /// Streams that stall are kept open here.
    stalled: Mutex<Vec<mpsc::Sender<EngineEvent>>>,
}

impl ScriptedEngine {
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
            _ => Err(EngineError::UnknownModel { name: model.into(), known: "m".into() }),
        }
    }

    fn tokenize(&self, _: &str, prompt: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        let text = match prompt {
            PromptText::Text(text) => text.clone(),
            PromptText::Chat(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
        };
        Ok(text.chars().map(u32::from).collect())
    }

    /// Its number of tokens, and a half; nothing for a text that begins with an exclamation mark.
    fn embed(&self, _: &str, texts: Vec<Arc<[u32]>>) -> Result<PortFuture<'static, EmbedOutcome>, EngineError> {
        let vectors = texts.iter().filter(|text| text.first() != Some(&u32::from('!')));
        let vectors = vectors.map(|text| vec![text.len() as f32, 0.5]).collect();
        Ok(Box::pin(ready(Ok(vectors))))
    }

    fn generate(&self, job: GenerationJob) -> Result<EngineStream, EngineError> {
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
        match self.plays.lock().pop_front().unwrap_or(Play::Letters) {
            Play::Letters => {
                (0..job.params.max_tokens).for_each(|_| write(&["a"]));
                send(EngineEvent::End(EngineFinish::Length));
            }
            Play::Words(words) => {
                write(words);
                send(EngineEvent::End(EngineFinish::Stop));
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
        }
        self.jobs.lock().push(job);
        self.meters.lock().push(meter.clone());
        Ok(EngineStream { events, meter })
    }
}

/// Of the scripted engine's vectors.
pub(crate) const EMBEDDING_WIDTH: u32 = 2;
