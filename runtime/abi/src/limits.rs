//! A limit on everything that a guest can grow: its name, its default, its reason.
//!
//! What one process could take from others is bounded here and nowhere else. The constants are the kernel's; [`Limits`]
//! are the ones that a manifest may lower.

use crate::Fuel;
use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One slice of fuel: under a millisecond of a guest's own work, so that an empty account, a kill and a fair share take
/// effect within about one epoch, and a purchase (some 50 ns) stays under 0.01 % of the work it pays for.
pub const FUEL_SLICE: Fuel = Fuel(1_000_000);

/// Slices of fuel that a generation leaves in the account, so that the agent can still end politely after its model was
/// cut off: 20 slices are some 10 ms of its own work.
pub const WIND_DOWN_SLICES: u64 = 20;

/// One value made of a guest's bytes, and one read: what a single host call copies.
pub const VALUE_CHUNK_BYTES_MAX: u64 = MIB;

/// One event: as much as a terminal or a stream takes at a time.
pub const EVENT_BYTES_MAX: u64 = MIB;

/// One log line: a line that a person reads. Longer ones are cut.
pub const LOG_LINE_BYTES_MAX: usize = 8 * KIB as usize;

/// Text of one prompt: some 250,000 tokens, above the context of any model served.
pub const PROMPT_BYTES_MAX: u64 = MIB;

/// Fuel that counting costs for each byte of text: a tokenizer does some 10 MB/s, where a guest does some 2 × 10⁹
/// instructions.
pub const TOKENIZE_FUEL_PER_BYTE: u64 = 200;

/// Messages of one prompt: a template renders each.
pub const PROMPT_MESSAGES_MAX: usize = 4096;

/// Parts of one message: a document with a picture on each of its pages.
pub const MESSAGE_PARTS_MAX: usize = 64;

/// Pictures and sounds of one prompt, in bytes: some photographs, or a quarter of an hour of speech. They live in the host's memory.
pub const PROMPT_MEDIA_BYTES_MAX: u64 = 16 * MIB;

/// Stop strings of one generation: each is looked for at every token.
pub const STOP_STRINGS_MAX: usize = 16;

/// One stop string: as much text as is held back while it may still come.
pub const STOP_STRING_BYTES_MAX: usize = 256;

/// Stop tokens of one generation: each token is compared with all of them.
pub const STOP_TOKENS_MAX: usize = 64;

/// Tokens with a bias, of one generation: each is added at every token. As many as a few hundred words have spellings.
pub const LOGIT_BIAS_MAX: usize = KIB as usize;

/// The largest bias, up or down: e^100 is beyond what any model holds between two tokens. OpenAI's API has the same.
pub const BIAS_MAX: f32 = 100.0;

/// Tokens that penalties look back: they are counted again at every token, some 0.1 ms for so many.
pub const PENALTY_WINDOW_MAX: u32 = 8 * KIB as u32;

/// The largest temperature: at 100 every token that a model holds at all possible is about as likely as any other.
pub const TEMPERATURE_MAX: f32 = 100.0;

/// Repetition penalty, at least and at most: papers and tools use 1 to 2; beyond 10 either way nothing changes any more.
pub const REPETITION_PENALTY: std::ops::RangeInclusive<f32> = 0.1..=10.0;

/// Frequency and presence penalty: as in OpenAI's API.
pub const COUNT_PENALTY: std::ops::RangeInclusive<f32> = -2.0..=2.0;

/// The likeliest tokens beside each drawn one: as many as OpenAI's API tells, some 300 bytes a token of output.
pub const LOGPROBS_MAX: u8 = 20;

/// One regular expression, grammar or schema, or all texts of a choice: what a schema of a large API takes. Whoever compiles it
/// has narrower limits for some.
pub const FORMAT_BYTES_MAX: usize = 64 * KIB as usize;

/// Texts of a choice: the countries or time zones of the world; a longer list belongs behind a tool.
pub const CHOICES_MAX: usize = KIB as usize;

/// Tools of one conversation: a model that is shown more does not find the right one.
pub const TOOLS_MAX: usize = 128;

/// One tool's name, and the id of one call: as the APIs of this kind have it.
pub const TOOL_NAME_BYTES_MAX: usize = 64;

/// One tool's parameters, and the arguments of one call: as [`FORMAT_BYTES_MAX`].
pub const TOOL_BYTES_MAX: usize = FORMAT_BYTES_MAX;

/// One label, media type, artifact's name or progress note: names, not documents.
pub const NAME_BYTES_MAX: usize = 256;

/// One path in a grant's scope: deep folders with long names.
pub const PATH_BYTES_MAX: usize = KIB as usize;

/// One host in a grant's scope: a name has 253 bytes at most (RFC 1035), and `*.` and a port stand around it.
pub const HOST_BYTES_MAX: usize = 261;

/// Entries of one grant's scope: as many as a person reads before agreeing. Each use is compared with all of them.
pub const SCOPE_ENTRIES_MAX: usize = 32;

/// All entries of one scope together: the kernel keeps a copy for each of thousands of grants.
pub const SCOPE_BYTES_MAX: usize = 4 * KIB as usize;

/// Grants derived from one another in a row: each use walks up to the root. Twice as deep as processes nest.
pub const GRANT_DEPTH_MAX: usize = 32;

/// Parts of one account: each child of a process has one, and closing an account visits all of its parts.
pub const ACCOUNT_CHILDREN_MAX: usize = 1024;

/// Accounts split from one another in a row: finding an account's root walks up. Twice as deep as processes nest.
pub const ACCOUNT_DEPTH_MAX: usize = 32;

/// One state: it is written at each commit and carried at each move.
pub const CHECKPOINT_BYTES_MAX: u64 = 16 * MIB;

/// Random bytes a call: keys and seeds, not data.
pub const RANDOM_BYTES_MAX: u32 = 64 * KIB as u32;

/// Things in one wait: each is looked at when one is ready.
pub const WAIT_IDS_MAX: usize = 1024;

/// Texts of one call that embeds: their vectors together stay below a megabyte.
pub const EMBED_TEXTS_MAX: usize = 256;

/// Events that wait for a listener; a process that emits more waits for it. Logs are dropped instead, and counted.
pub const EVENTS_QUEUED_MAX: usize = 256;

/// Bytes of those events together, before the last of them: one may be as large as it likes alone.
pub const EVENTS_QUEUED_BYTES_MAX: usize = 256 * KIB as usize;

/// Bytes of one message: what a single host call copies.
pub const MESSAGE_BYTES_MAX: u64 = MIB;

/// Grants that one message, or one start of a child, carries.
pub const PASSED_GRANTS_MAX: usize = 64;

/// Messages that wait in one mailbox; whoever sends more waits for its owner to receive.
pub const MESSAGES_QUEUED_MAX: usize = 64;

/// Bytes that wait in one mailbox: four messages of the largest size. They live in the host's memory.
pub const MAILBOX_BYTES_MAX: usize = 4 * MIB as usize;

/// How long a call may wait for its answer: an hour, so that a caller that was forgotten goes on one day.
pub const CALL_TIMEOUT_NS_MAX: u64 = 3_600_000_000_000;

/// One question to people, or the details of what they are to approve: some twenty pages. Whoever has more to show hands over an
/// artifact. They live in the host's memory as long as nobody answers.
pub const QUESTION_BYTES_MAX: u64 = 64 * KIB;

/// One answer of a person, or why they reject something: as much as a question.
pub const ANSWER_BYTES_MAX: usize = 64 * KIB as usize;

/// Choices of one question: as many as a person reads before choosing. Each is as long as a name at most.
pub const QUESTION_CHOICES_MAX: usize = 32;

/// How long a question may wait: a month. What nobody answered by then, nobody will.
pub const QUESTION_TIME_NS_MAX: u64 = 30 * 24 * 3_600_000_000_000;

/// Questions that one process holds: people answer one after the other.
pub const QUESTIONS_MAX: u64 = 16;

/// Questions of one tenant that wait for people: thousands of agents that ask would bury what matters, and each question takes
/// up to [`QUESTION_BYTES_MAX`] of the host's memory.
pub const INBOX_QUESTIONS_MAX: usize = KIB as usize;

/// What people are told at a time: a paragraph or two.
pub const NOTICE_BYTES_MAX: u64 = 4 * KIB;

/// Notices of one tenant that are kept, the latest ones: a megabyte at most.
pub const NOTICES_KEPT_MAX: usize = 256;

/// Approvals of one tenant that stand: more than that nobody overlooks. Each proposal is compared with all of them.
pub const APPROVALS_MAX: usize = 256;

/// What a tool says at most when it is done: as much as a message. The kernel keeps it until somebody takes it.
pub const TOOL_OUTPUT_BYTES_MAX: usize = MIB as usize;

/// What a tool says at most when it fails, its last words: a message and the end of a trace.
pub const TOOL_FAILURE_BYTES_MAX: usize = 16 * KIB as usize;

/// Calls of tools that one process has: those under way, and those of which it has not taken what came.
pub const TOOL_CALLS_MAX: u64 = 16;

/// Calls of tools of one tenant, all its processes together: each holds up to [`TOOL_BYTES_MAX`] and [`TOOL_OUTPUT_BYTES_MAX`] of the
/// host's memory.
pub const TENANT_TOOL_CALLS_MAX: usize = KIB as usize;

/// Calls of one tenant that run side by side, each a program of its own; others stand in line. After a crash no more than so many
/// are uncertain.
pub const TOOL_CALLS_RUNNING_MAX: usize = 16;

/// A whole file that is read at once, or a part of one: as much as a message. What is larger is read in parts.
pub const FILE_BYTES_MAX: usize = MIB as usize;

/// Entries of a folder that are listed at once.
pub const FILES_LISTED_MAX: u32 = 256;

/// Content of one entry of a memory: as much as a message. A document is many entries, of some hundred words each, so that each has a vector
/// of its own and fits into a model's window.
pub const MEMORY_BYTES_MAX: usize = MIB as usize;

/// Tags of one entry.
pub const MEMORY_TAGS_MAX: usize = 64;

/// Fields of one entry's metadata.
pub const MEMORY_FIELDS_MAX: usize = 32;

/// Bytes of one text in an entry's metadata, and in a condition: what is longer is content.
pub const MEMORY_FIELD_BYTES_MAX: usize = 256;

/// Conditions of one filter.
pub const MEMORY_CONDITIONS_MAX: usize = 64;

/// Entries that one search finds at most: more than any window takes.
pub const MEMORY_HITS_MAX: u32 = 256;

/// Words that are looked for: a question, not a document.
pub const MEMORY_WORDS_BYTES_MAX: usize = 8 * KIB as usize;

/// A quotation: a passage, not a document.
pub const QUOTATION_BYTES_MAX: usize = 8 * KIB as usize;

/// Entries that are forgotten by one call: what is more is forgotten by several.
pub const MEMORY_FORGET_MAX: usize = 4096;

/// Contexts of one process: a conversation, some forks of it, and some besides.
pub const CONTEXTS_MAX: usize = 64;

/// What a segment of a context counts besides its text, in bytes of the process's values: so that one that appends nothing but short texts
/// is bounded as well. About what the kernel knows of it.
pub const SEGMENT_BYTES: u64 = 256;

/// Segments that one call names or lists.
pub const CONTEXT_SEGMENTS_MAX: usize = 4096;

/// Values that one snapshot comes in: a checkpoint of the largest size in values of the largest size, and some.
pub const SNAPSHOT_PIECES_MAX: usize = 64;

/// How long a tool may run: a day. What takes longer is begun by one call, and asked for by others.
pub const TOOL_TIME_NS_MAX: u64 = 24 * 3_600_000_000_000;

/// How long whoever starts or wakes stands in line for a place to run in: five minutes, several times what a long answer of a model takes,
/// which is what agents hold their places for. Where nobody gives one up by then, those that have one wait for those that have none.
pub const PLACE_WAIT_NS_MAX: u64 = 300_000_000_000;

/// Generations of processes below the one that the operator started: teams of teams, and no fork bomb.
pub const PROCESS_DEPTH_MAX: u32 = 16;

/// Fuel that a syscall costs besides the guest's own instructions: the host works some 100 ns on one, in which a guest
/// does some 200 instructions. A guest of nothing but syscalls so pays for the processor that it takes.
pub const SYSCALL_FUEL: u64 = 200;

/// The first pause before a process is started again; each that follows is twice as long.
pub const RESTART_PAUSE_NS_MIN: u64 = 100_000_000;

/// The longest such pause.
pub const RESTART_PAUSE_NS_MAX: u64 = 30_000_000_000;

/// Restarts within [`RESTART_STORM_NS`] after which a process has failed for good: who fails five times in a minute will
/// fail again.
pub const RESTARTS_MAX: u32 = 5;

/// How long a restart counts towards [`RESTARTS_MAX`].
pub const RESTART_STORM_NS: u64 = 60_000_000_000;

/// Events of a process that are kept for whoever asks later, the latest ones.
pub const EVENTS_KEPT_MAX: usize = 256;

/// Bytes of those events together.
pub const EVENTS_KEPT_BYTES_MAX: usize = 64 * KIB as usize;

/// Denials that a node keeps to explain them, the latest ones.
pub const DENIALS_KEPT_MAX: usize = 256;

/// One component file. A Python agent has 18 MiB, a Rust agent 100 KiB.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;

/// Processor time and wall time of one compilation: 64 MiB take about 30 s on one core of a small machine.
pub const COMPILE_SECONDS_MAX: u64 = 120;

/// Address space of the compiling child process.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Stack of a guest: deep enough for recursive parsers, small enough to have thousands.
pub const STACK_BYTES_MAX: usize = 512 * KIB as usize;

/// Bytes that one host call may bring in, strings and lists together: a prompt, and what stands around it.
pub const HOSTCALL_BYTES_MAX: usize = 20 * MIB as usize;

/// Limits of one process, which its manifest may lower and nothing may raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory. 256 MiB hold a Python interpreter and its data; a 1 MiB fill takes 0.1 ms and cannot be interrupted.
    pub memory_bytes_max: u64,
    /// Elements of all tables. Function tables of large agents have some 10,000.
    pub table_elements_max: u64,
    /// All values of the process together: it lives in the host's memory.
    pub value_bytes_max: u64,
    /// How many values, and how many of every other kind of kernel object, the process may hold.
    pub objects_max: u64,
    /// Generations that stream side by side: each holds a sequence of the engine.
    pub generations_max: u64,
    /// Children that live at a time. A coordinator of more needs coordinators below it.
    pub children_max: u64,
    /// Grants that it holds: they are looked up by label, one by one.
    pub grants_max: u64,
    /// Calls that wait for their answers, and calls that it has yet to answer.
    pub calls_max: u64,
}

/// Limits of one tenant, all its processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantLimits {
    /// Processes that live at a time. One takes some 100 KiB of the host's memory at least.
    pub processes_max: u64,
    /// Limits of each of its processes, below which a manifest can go and above which it cannot.
    pub process: Limits,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { processes_max: 16_384, process: Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 * MIB,
            table_elements_max: 100_000,
            value_bytes_max: 64 * MIB,
            objects_max: 4096,
            generations_max: 16,
            children_max: 64,
            grants_max: 256,
            calls_max: 64,
        }
    }
}

impl Limits {
    /// These limits, none above `ceiling`'s.
    #[must_use]
    pub fn lowered_to(self, ceiling: Self) -> Self {
        Self {
            memory_bytes_max: self.memory_bytes_max.min(ceiling.memory_bytes_max),
            table_elements_max: self.table_elements_max.min(ceiling.table_elements_max),
            value_bytes_max: self.value_bytes_max.min(ceiling.value_bytes_max),
            objects_max: self.objects_max.min(ceiling.objects_max),
            generations_max: self.generations_max.min(ceiling.generations_max),
            children_max: self.children_max.min(ceiling.children_max),
            grants_max: self.grants_max.min(ceiling.grants_max),
            calls_max: self.calls_max.min(ceiling.calls_max),
        }
    }
}
