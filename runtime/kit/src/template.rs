//! What a new project begins with: a few files each, with `{{name}}` where the agent's name goes.

/// A file of a template: where it goes in the project, and its text.
pub(crate) type File = (&'static str, &'static str);

/// What every project has.
const SHARED: &[File] = &[
    ("Cargo.toml", include_str!("../templates/Cargo.toml.txt")),
    (".gitignore", include_str!("../templates/gitignore.txt")),
];

const CHAT: &[File] = &[
    ("remit.toml", include_str!("../templates/chat/remit.toml")),
    ("src/lib.rs", include_str!("../templates/chat/lib.rs")),
    ("tests/answers.toml", include_str!("../templates/chat/answers.toml")),
    ("README.md", include_str!("../templates/chat/README.md")),
];

const MEMORY: &[File] = &[
    ("remit.toml", include_str!("../templates/memory/remit.toml")),
    ("src/lib.rs", include_str!("../templates/memory/lib.rs")),
    ("tests/answers.toml", include_str!("../templates/memory/answers.toml")),
    ("README.md", include_str!("../templates/memory/README.md")),
];

const TOOLS: &[File] = &[
    ("remit.toml", include_str!("../templates/tools/remit.toml")),
    ("src/lib.rs", include_str!("../templates/tools/lib.rs")),
    ("tests/answers.toml", include_str!("../templates/tools/answers.toml")),
    ("tests/tools.toml", include_str!("../templates/tools/tools.toml")),
    ("README.md", include_str!("../templates/tools/README.md")),
];

/// What a new agent does before its author changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Template {
    /// Answers with a model, as the answer comes.
    #[default]
    Chat,
    /// Remembers what it was told, and looks there before it answers.
    Memory,
    /// Has tools act that it was granted, until its task is done.
    Tools,
}

impl Template {
    /// All of them, the plainest first.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Memory, Self::Tools];

    /// What it goes by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Memory => "memory",
            Self::Tools => "tools",
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Chat => "answers with a model, as the answer comes",
            Self::Memory => "remembers what it was told, and looks there before it answers",
            Self::Tools => "has tools act that it was granted, until its task is done",
        }
    }

    /// Its files, for an agent of this name.
    pub(crate) fn files(self, name: &str) -> impl Iterator<Item = (&'static str, String)> {
        let own = match self {
            Self::Chat => CHAT,
            Self::Memory => MEMORY,
            Self::Tools => TOOLS,
        };
        SHARED.iter().chain(own).map(move |(path, text)| (*path, text.replace("{{name}}", name)))
    }
}
