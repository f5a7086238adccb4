//! Texts as vectors: an encoder, its tokenizer, one thread that owns the weights, and the threads that compute.
//!
//! The texts of several calls are computed together, each to the same bits as alone (see [`encoder`](crate::model::encoder)).
//!
//! Weights are in memory as long as the [`Residency`] says. After a panic each text is computed alone: it is told to who
//! asked for the one that panics, it touches nobody else's, and the weights, which nothing writes to, stay.

#[cfg(test)]
mod tests;
mod worker;

use crate::{
    LoadError, ModelFile,
    files::ModelFiles,
    model::{Encoder, encoder::EmbedError},
    residency::Residency,
    tokenizer::Tokenizer,
};
use remit_compute::{Isa, Team};
use remit_kernel::ports::{EngineError, ModelCard};
use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
};
use tokio::sync::oneshot;
use worker::{Encode, Encoding, Job, Message, Shared, Vectors, Worker};

/// Calls that wait for their turn; more are refused. 1,024: a process has one call under way, and so many processes wait for
/// seconds already.
const QUEUED_CALLS_MAX: usize = 1024;

/// A model that embeds texts.
pub struct LocalEmbedder {
    card: ModelCard,
    width: usize,
    tokenizer: Tokenizer,
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    messages: Option<mpsc::Sender<Message>>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEmbedder").field("card", &self.card).finish_non_exhaustive()
    }
}

/// Reads an encoder's weights, as often as it is called.
fn reader(files: ModelFiles, threads: usize) -> impl FnMut() -> Result<Encoding<Encoder>, LoadError> + Send {
    move || {
        let team = Team::new(threads, Isa::best()).map_err(|error| LoadError::Thread(error.to_string()))?;
        Ok(Encoding { encoder: files.encoder(&team)?, team })
    }
}

impl LocalEmbedder {
    /// What the models of this kind are called on their cards.
    pub const FAMILY: &str = "bert";

    /// Whether the model of these files is one that embeds.
    ///
    /// # Errors
    /// [`LoadError`], where they cannot be read.
    pub fn serves(model: &ModelFile) -> Result<bool, LoadError> {
        ModelFiles::open(&model.name, &model.path).map(|files| files.is_encoder())
    }

    /// Opens a model's files and reads its weights, which stay in memory until it is dropped; it computes on so many threads.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(model: &ModelFile, threads: usize) -> Result<Self, LoadError> {
        let embedder = Self::open(model, threads, &Residency::unlimited())?;
        embedder.warm()?;
        Ok(embedder)
    }

    /// Opens a model's files and checks them. Its weights come into memory with the first text, and leave again when others
    /// need their room.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open(model: &ModelFile, threads: usize, residency: &Arc<Residency>) -> Result<Self, LoadError> {
        let files = ModelFiles::open(&model.name, &model.path)?;
        let (tokenizer, (architecture, bytes)) = (files.tokenizer()?, files.encoder_architecture()?);
        let rows = architecture.vocabulary;
        if rows < tokenizer.size() {
            return Err(LoadError::Vocabulary { name: model.name.to_string(), tokens: tokenizer.size(), rows });
        }
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let card = ModelCard {
            name: model.name.clone(),
            family: Self::FAMILY.into(),
            context_length: number(architecture.context),
            vocabulary: number(tokenizer.size()),
            digest: model.digest.clone(),
        };
        Self::start(card, architecture.width, tokenizer, (residency, bytes), reader(files, threads))
    }

    /// Starts the embedder's thread; `make` reads the weights, of so many bytes.
    fn start<E: Encode + 'static>(
        card: ModelCard,
        width: usize,
        tokenizer: Tokenizer,
        (residency, bytes): (&Arc<Residency>, u64),
        make: impl FnMut() -> Result<Encoding<E>, LoadError> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let (messages, incoming) = mpsc::channel();
        let sender = messages.clone();
        let seat = residency.seat(card.name.clone(), bytes, move || drop(sender.send(Message::Wake)))?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("embedder".to_owned()).spawn({
            let (shared, name) = (shared.clone(), card.name.clone());
            move || Worker::new(name, make, seat, shared).run(&incoming)
        });
        let thread = thread.map_err(|error| LoadError::Thread(error.to_string()))?;
        Ok(Self { card, width, tokenizer, shared, messages: Some(messages), thread: Some(thread) })
    }

    /// Reads the weights where there is room that nobody else waits for, and waits until that is done.
    ///
    /// # Errors
    /// [`LoadError`], where they cannot be read.
    pub fn warm(&self) -> Result<(), LoadError> {
        let (done, is_done) = mpsc::channel();
        let gone = || LoadError::Crashed("it gave no reason".to_owned());
        self.tell(Message::Warm(done));
        is_done.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// What it serves.
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Numbers of an embedding.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Why it has stopped, where it has: it computes nothing any more then.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.shared.stopped.get().map(|why| &**why)
    }

    /// The tokens of a text, exactly as it is embedded.
    #[must_use]
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode_prompt(text)
    }

    /// The embeddings of these texts, given by their tokens: [`LocalEmbedder::width`] numbers each, of length one, so that a
    /// scalar product is a cosine. A text that has none does not keep the others from theirs. Blocks.
    ///
    /// Errors of a text: [`EmbedError`].
    ///
    /// # Errors
    /// [`EngineError::Busy`]; [`EngineError::Failed`] where computing one of them crashed; [`EngineError::Stopped`].
    pub fn embed<T: AsRef<[u32]>>(&self, texts: &[T]) -> Result<Vec<Result<Vec<f32>, EmbedError>>, EngineError> {
        let texts = texts.iter().map(|tokens| tokens.as_ref().into()).collect();
        self.hand_over(texts)?.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }

    /// The same without a thread that waits; the first text that has no embedding is the error of all.
    ///
    /// # Errors
    /// As [`LocalEmbedder::embed`], and [`EngineError::Prompt`] where a text has none.
    pub async fn embed_later(self: Arc<Self>, texts: Vec<Arc<[u32]>>) -> Result<Vec<Vec<f32>>, EngineError> {
        let vectors = self.hand_over(texts)?.await.unwrap_or_else(|_| Err(gone()))?;
        let vectors: Result<_, EmbedError> = vectors.into_iter().collect();
        vectors.map_err(|error| EngineError::Prompt(error.to_string().into()))
    }

    fn hand_over(&self, texts: Vec<Arc<[u32]>>) -> Result<oneshot::Receiver<Vectors>, EngineError> {
        if let Some(why) = self.shared.stopped.get() {
            return Err(EngineError::Stopped(why.clone()));
        }
        let queue = |queued: usize| (queued < QUEUED_CALLS_MAX).then_some(queued + 1);
        if self.shared.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, queue).is_err() {
            return Err(EngineError::Busy { waiting: QUEUED_CALLS_MAX });
        }
        let (done, vectors) = oneshot::channel();
        // Where the thread is gone, so is the call's sender, and the receiver says so.
        self.tell(Message::Embed(Job { texts, done }));
        Ok(vectors)
    }

    /// Whether the embedder's thread is there to hear it.
    fn tell(&self, message: Message) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.send(message).is_ok())
    }
}

fn gone() -> EngineError {
    EngineError::Stopped("its thread has ended".into())
}

impl Drop for LocalEmbedder {
    /// Waits for the texts that are being computed; who still waits is told.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // The thread may sleep. It ends when nobody can tell it anything any more.
        self.tell(Message::Wake);
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
