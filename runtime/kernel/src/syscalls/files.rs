//! `files`: what lies in folders that an operator declared. It is read and never changed, so that one grant's access is as good as another's.
//!
//! The path that a process names has to lie in its grant's scope, which is checked like any scope: what is no well-formed path lies in none.
//! That a path leads nowhere else is the port's to keep ([`crate::ports::Folders`]).
//!
//! What stands in a file comes as a value that is not read yet, with the folder's label. Names, sizes and times are told at once, and whoever
//! wrote the files chose them: they raise the process's label to the folder's, and so does an error in their place. That a file could be read,
//! or not, and how large it is, is told without its content, and raises the label to the folder's tags. What was told is in the log, and a replay asks no folder.

use super::{Context, Right};
use crate::{
    control::ControlBlock,
    kernel::Shared,
    ports::{FoundFile, Note, ReadError, ValueImage},
    process::{Process, Value},
};
use remit_abi::{
    Access, FileAsked, FileError, FileRange, FileReply, FileRequest, FolderAsked, GrantKind, Label, TagSet, TenantId,
    limits,
};

pub(super) fn validate(request: &FileRequest) -> Result<(), FileError> {
    match request {
        FileRequest::List(asked) => {
            let FolderAsked { after, count, .. } = &**asked;
            if !(1..=limits::FILES_LISTED_MAX).contains(count) {
                let why = format!("1 to {} entries of a folder are listed at once", limits::FILES_LISTED_MAX);
                return Err(FileError::Invalid(why.into()));
            }
            match after.as_ref().is_some_and(|name| name.len() > limits::PATH_BYTES_MAX) {
                true => Err(FileError::Invalid("no name is as long as the one to begin behind".into())),
                false => Ok(()),
            }
        }
        FileRequest::Read(asked) => match asked.range {
            FileRange::Part { length: 0, .. } => Err(FileError::Invalid("a part has one byte at least".into())),
            FileRange::Part { length, .. } if length as usize > limits::FILE_BYTES_MAX => Err(TOO_LARGE),
            FileRange::Part { .. } | FileRange::Whole => Ok(()),
        },
        FileRequest::Describe { .. } => Ok(()),
    }
}

const TOO_LARGE: FileError = FileError::TooLarge { limit: limits::FILE_BYTES_MAX as u64 };

/// Nothing flows out by being looked at.
pub(super) fn right(request: &FileRequest) -> Right {
    let (grant, kind, access) = (request.grant(), GrantKind::File, Access::ReadOnly);
    Right::Use { grant, kind, access, tokens: 0, label: Label::TRUSTED }
}

/// A request, and the label of what it asks for.
pub(crate) struct Work {
    request: FileRequest,
    label: Label,
}

impl Work {
    pub(super) fn prepare(context: &Context<'_>, request: &FileRequest) -> Result<Self, FileError> {
        let label = label_of(context.shared, context.process.pid.tenant, request.path())?;
        Ok(Self { request: request.clone(), label })
    }

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<FileReply, FileError> {
        let Self { request, label } = self;
        let (folders, tenant) = (&shared.ports.folders, block.pid.tenant);
        match request {
            FileRequest::List(asked) => {
                let FolderAsked { path, after, count, .. } = *asked;
                let listing = folders.list(tenant, path, after, count as usize).await;
                tell(&mut block.process.lock(), label, listing).map(FileReply::Listed)
            }
            FileRequest::Describe { path, .. } => {
                let entry = folders.describe(tenant, path).await;
                tell(&mut block.process.lock(), label, entry).map(FileReply::Described)
            }
            FileRequest::Read(asked) => {
                let FileAsked { path, range, .. } = *asked;
                let found = folders.read(tenant, path, range).await;
                let process = &mut *block.process.lock();
                let told = Label { tags: label.tags, ..Label::TRUSTED };
                let found = tell(process, told, found)?;
                take_in(process, found, label)
            }
        }
    }
}

/// An answer, and an error as well, tells of what lies there.
fn tell<T>(process: &mut Process, label: Label, answer: Result<T, ReadError>) -> Result<T, FileError> {
    process.label = process.label.join(label);
    answer.map_err(told)
}

/// Makes what was read the process's, unread.
fn take_in(process: &mut Process, found: FoundFile, label: Label) -> Result<FileReply, FileError> {
    let FoundFile { bytes, media_type, size, revision } = found;
    let image = ValueImage { bytes, media_type, label };
    let content = process.values.insert(Value::from(image.clone()), &process.limits).map_err(|_| FileError::NoRoom)?;
    process.due.note(|| Note::Value(content, image));
    Ok(FileReply::Read { content, size, revision })
}

/// The label of what lies at a path: its folder's. What is declared is the operator's own word.
fn label_of(shared: &Shared, tenant: TenantId, path: &str) -> Result<Label, FileError> {
    let name = path.split('/').next().unwrap_or_default();
    if name == "." {
        return Ok(Label::TRUSTED);
    }
    let facts = shared.ports.folders.facts(tenant, name).ok_or(FileError::NoSuchFile)?;
    let mut tags = TagSet::EMPTY;
    for tag in &facts.tags {
        let full = || FileError::Unavailable("its tenant has too many tags to mark what stands in it".into());
        tags = tags.union(shared.tag(tenant, tag).ok_or_else(full)?);
    }
    Ok(Label { integrity: facts.integrity, tags })
}

fn told(error: ReadError) -> FileError {
    match error {
        ReadError::Nothing => FileError::NoSuchFile,
        ReadError::NotAFolder => FileError::NotAFolder,
        ReadError::NotAFile => FileError::NotAFile,
        ReadError::Changed => FileError::Changed,
        ReadError::TooLarge => TOO_LARGE,
        ReadError::Failed(why) => FileError::Unavailable(why),
    }
}
