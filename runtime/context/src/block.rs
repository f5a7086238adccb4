//! Core blocks: texts that are always in the window, at its beginning, and that the agent edits.
//!
//! (Packer et al. 2023, "MemGPT: Towards LLMs as Operating Systems", section 2.1: working context.)

use crate::context::Context;
use remit_abi::{Label, is_name};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// Blocks of one context: persona, person, task, and a few of the agent's own. All of them are in every prompt.
pub const BLOCKS_MAX: usize = 32;

/// A core block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// As a [name](remit_abi::is_name); each once.
    pub name: Box<str>,
    /// What it says.
    pub text: Arc<str>,
    /// As the caller counted it.
    pub tokens: u32,
    /// So many it may have.
    pub tokens_max: u32,
    /// What went into it.
    pub label: Label,
    /// Which text of all that blocks of the context ever had.
    pub(crate) revision: u64,
}

/// A core block that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// As a [name](remit_abi::is_name).
    pub name: Box<str>,
    /// What it says at first.
    pub text: Arc<str>,
    /// As the caller counted it.
    pub tokens: u32,
    /// So many it may ever have.
    pub tokens_max: u32,
    /// What went into it.
    pub label: Label,
}

/// A change of a block's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// This is the text now.
    Replace(Box<str>),
    /// This comes behind it.
    Append(Box<str>),
    /// This part, which has to stand in it exactly once, gives way to another.
    ReplacePart {
        /// What stands there.
        old: Box<str>,
        /// What is to.
        new: Box<str>,
    },
}

/// What cannot be done to a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlockError {
    /// There is none of this name.
    #[error("the context has no block {0}: make it first")]
    Unknown(Box<str>),
    /// There is one already.
    #[error("the context has a block {0} already: edit it")]
    Exists(Box<str>),
    /// This is no name.
    #[error("{0:?} is no name of a block: a name has 1 to {max} ASCII letters, digits and -._/:@", max = remit_abi::limits::NAME_BYTES_MAX)]
    Name(Box<str>),
    /// There are too many.
    #[error("the context has {BLOCKS_MAX} blocks, which is as many as it may have: remove one")]
    TooMany,
    /// The text would be larger than the block may be.
    #[error("the block {name} would have {tokens} tokens, and may have {tokens_max}: say less in it")]
    TooLarge {
        /// Which.
        name: Box<str>,
        /// It would have.
        tokens: u32,
        /// It may have.
        tokens_max: u32,
    },
    /// All blocks together would be larger than they may be.
    #[error("the blocks would have {tokens} tokens together, and may have {tokens_max}: say less in one of them")]
    TogetherTooLarge {
        /// They would have.
        tokens: u64,
        /// They may have.
        tokens_max: u32,
    },
    /// The part that is to be replaced is not there, or more than once.
    #[error(
        "the part that is to be replaced stands {found} times in the block {name}, and has to stand in it once: quote more of it"
    )]
    Part {
        /// Which.
        name: Box<str>,
        /// How often it stands there.
        found: usize,
    },
}

impl Block {
    /// What the text is after an edit.
    pub(crate) fn edited(&self, edit: &Edit) -> Result<String, BlockError> {
        match edit {
            Edit::Replace(text) => Ok(text.to_string()),
            Edit::Append(text) => Ok(format!("{}{text}", self.text)),
            Edit::ReplacePart { old, new } => {
                let found = if old.is_empty() { 0 } else { self.text.matches(&**old).count() };
                if found != 1 {
                    return Err(BlockError::Part { name: self.name.clone(), found });
                }
                Ok(self.text.replacen(&**old, new, 1))
            }
        }
    }

    /// The label of the text after an edit that `label` went into: nothing of the old text stays where all of it is replaced.
    pub(crate) fn label_after(&self, edit: &Edit, label: Label) -> Label {
        match edit {
            Edit::Replace(_) => label,
            Edit::Append(_) | Edit::ReplacePart { .. } => self.label.join(label),
        }
    }
}

/// Whether a block of this name can be made.
pub(crate) fn can_make(blocks: &[Block], name: &str) -> Result<(), BlockError> {
    match () {
        () if !is_name(name) => Err(BlockError::Name(name.into())),
        () if blocks.iter().any(|block| *block.name == *name) => Err(BlockError::Exists(name.into())),
        () if blocks.len() >= BLOCKS_MAX => Err(BlockError::TooMany),
        () => Ok(()),
    }
}

/// Whether a block may have so many tokens beside the others.
pub(crate) fn can_hold(
    blocks: &[Block],
    name: &str,
    tokens: u32,
    tokens_max: u32,
    together_max: u32,
) -> Result<(), BlockError> {
    if tokens > tokens_max {
        return Err(BlockError::TooLarge { name: name.into(), tokens, tokens_max });
    }
    let others = blocks.iter().filter(|block| *block.name != *name).map(|block| u64::from(block.tokens));
    let together = others.sum::<u64>() + u64::from(tokens);
    if together > u64::from(together_max) {
        return Err(BlockError::TogetherTooLarge { tokens: together, tokens_max: together_max });
    }
    Ok(())
}

impl<B> Context<B> {
    /// Makes a core block, behind the others.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn make_block(&mut self, new: NewBlock) -> Result<(), BlockError> {
        let NewBlock { name, text, tokens, tokens_max, label } = new;
        can_make(&self.blocks, &name)?;
        can_hold(&self.blocks, &name, tokens, tokens_max, self.config.blocks_tokens_max)?;
        let revision = self.next_revision();
        self.blocks.push(Block { name, text, tokens, tokens_max, label, revision });
        self.shape.revisions.push(revision);
        self.changed();
        Ok(())
    }

    /// What a block says after an edit: to be counted, and then given to [`edit_block`](Self::edit_block).
    ///
    /// # Errors
    /// [`BlockError::Unknown`], [`BlockError::Part`].
    pub fn edited(&self, name: &str, edit: &Edit) -> Result<String, BlockError> {
        self.blocks[self.find_block(name)?].edited(edit)
    }

    /// Edits a block; it has so many tokens afterwards, and `label` went into the edit. What stands behind the block in the prompt is
    /// computed again.
    ///
    /// # Errors
    /// [`BlockError`], and then it is as before.
    pub fn edit_block(&mut self, name: &str, edit: &Edit, tokens: u32, label: Label) -> Result<(), BlockError> {
        let index = self.find_block(name)?;
        let text = self.blocks[index].edited(edit)?;
        let tokens_max = self.blocks[index].tokens_max;
        can_hold(&self.blocks, name, tokens, tokens_max, self.config.blocks_tokens_max)?;
        let revision = self.next_revision();
        let block = &mut self.blocks[index];
        block.label = block.label_after(edit, label);
        (block.text, block.tokens, block.revision) = (text.into(), tokens, revision);
        self.shape.revisions[index] = revision;
        self.changed();
        Ok(())
    }

    /// Takes a block away.
    ///
    /// # Errors
    /// [`BlockError::Unknown`].
    pub fn remove_block(&mut self, name: &str) -> Result<Block, BlockError> {
        let index = self.find_block(name)?;
        self.shape.revisions.remove(index);
        self.changed();
        Ok(self.blocks.remove(index))
    }

    fn find_block(&self, name: &str) -> Result<usize, BlockError> {
        let found = self.blocks.iter().position(|block| *block.name == *name);
        found.ok_or_else(|| BlockError::Unknown(name.into()))
    }

    fn next_revision(&mut self) -> u64 {
        self.next_revision += 1;
        self.next_revision
    }
}
