//! x
#![allow(missing_docs)]
mod bindings;
pub mod value { pub struct ValueRow; }
pub mod capability { pub struct GrantRow; }
pub mod budget { pub struct AccountRow; }
pub mod llm { pub struct ModelRow; pub struct GenerationRow;}
pub mod poll { pub struct PollableRow; }
