//! Tools that an operator declares: programs of this machine, which agents may have act outside the node; and folders, which they may read.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `declared` | what a tool is, and the file in which an operator says so |
//! | `folders` | reading what lies in a declared folder, and nothing else |
//! | `command` | doing one call: a program, its group of processes, its output |
//! | `orphans` | programs that are left where a host was killed |
//!
//! A whole file of tools, `tools.toml`:
//!
//! ```
//! # use std::path::Path;
//! let tools = remit_tools::Declarations::parse(r#"
//!     [tool.stock]
//!     description = "How many of an article there are."
//!     parameters = { properties = { article = { type = "string" } }, required = ["article"] }
//!     command = ["/bin/cat", "-"]
//!     effect = "none"
//!
//!     [tool.order]
//!     description = "Orders an article."
//!     parameters = { properties = { article = { type = "string" } }, required = ["article"] }
//!     command = ["/bin/sh", "order.sh"]
//!     effect = "once"
//!     uncertain = "ask"
//!     desk = "purchasing"
//!     timeout_seconds = 30
//!     env = ["ORDER_TOKEN"]
//!     tags = ["purchasing"]
//!
//!     [folder.handbook]
//!     path = "/usr/share"
//! "#, Path::new("/etc/remit"))?;
//! assert_eq!(tools.iter().map(|tool| tool.name()).collect::<Vec<_>>(), ["order", "stock"]);
//! # Ok::<(), remit_tools::ToolsError>(())
//! ```
//!
//! | key | default | means |
//! | --- | --- | --- |
//! | `description` | – | what it does, in a sentence that a model reads |
//! | `parameters` | `{}` | a JSON Schema (2020-12) of the object that it is given, as a table: with what does not fit it is not called |
//! | `command` | – | the program and its first arguments; no shell. A name is looked up once, along the host's `PATH`; a path with a `/` that does not begin with one is below the file's folder |
//! | `effect` | – | `none`: it looks; `idempotent`: twice is as good as once; `keyed`: it does nothing twice for one key; `once` |
//! | `uncertain` | `fail` | of a tool that acts `once`, where the host ended while it ran: `fail`, `retry`, or `ask` a person |
//! | `desk` | – | at which a person is asked |
//! | `timeout_seconds` | 60 | it is stopped then; a day at most |
//! | `env` | `[]` | names of the host's environment that it gets; of the rest it gets none |
//! | `integrity` | `untrusted` | of what it says |
//! | `tags` | `[]` | of what it says, besides those of what it was given |
//!
//! A folder is what paths in the scope of a grant of kind `file` begin with: `handbook`, or `handbook/2024`.
//!
//! | key | default | means |
//! | --- | --- | --- |
//! | `path` | – | the folder; one that does not begin with a `/` is below the file's folder |
//! | `integrity` | `untrusted` | of what stands in it, names included |
//! | `tags` | `[]` | of what stands in it |
//!
//! What a program gets: a JSON object on its standard input, `REMIT_IDEMPOTENCY_KEY` and `REMIT_TOOL_CALL` (the call's number) in its
//! environment (and `REMIT_TOOL_HOST`, by which the next host ends what one that was killed left running), an empty folder of its own to work in, and a process group that is killed when it ends, when its time is over, or when
//! nobody wants the call any more. What it writes to its standard output is the result where it ends with 0; otherwise the end of its
//! standard error says why it failed.

mod command;
mod declared;
mod folders;
mod orphans;

pub use command::Commands;
pub use declared::{Declarations, Declared, ToolsError};
pub use folders::{DeclaredFolder, DiskFolders};
