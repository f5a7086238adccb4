//! `remit:kernel/files`: files of declared folders. Linked only where a grant of kind `file` was given.

use crate::{
    bindings::remit::kernel::files,
    capability::denial_to_wit,
    guest::{Guest, gone, mismatch},
    row::{GrantRow, ValueRow},
};
use remit_abi::{
    FileAsked, FileEntry, FileError, FileKind, FileRange, FileReply, FileRequest, FolderAsked, FolderListing, Reply,
    Request,
};
use wasmtime::{Result, component::Resource};

/// What who asks is told.
type Told<T> = Result<std::result::Result<T, files::FileError>>;

impl Guest {
    async fn call_files(&mut self, request: FileRequest) -> Told<FileReply> {
        match self.call_waiting(Request::File(request)).await? {
            Reply::File(Ok(reply)) => Ok(Ok(reply)),
            Reply::File(Err(error)) => error_to_wit(error).map(Err),
            _ => Err(mismatch("files")),
        }
    }

    async fn read_file(&mut self, grant: Resource<GrantRow>, path: String, range: FileRange) -> Told<files::Part> {
        let GrantRow(grant) = self.row(&grant)?;
        let asked = FileAsked { grant, path: path.into(), range };
        match self.call_files(FileRequest::Read(Box::new(asked))).await? {
            Ok(FileReply::Read { content, size, revision }) => {
                Ok(Ok(files::Part { content: self.push(ValueRow(content))?, size, revision }))
            }
            Ok(_) => Err(mismatch("files.read")),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl files::Host for Guest {
    async fn list(
        &mut self,
        grant: Resource<GrantRow>,
        path: String,
        after: Option<String>,
        count: u32,
    ) -> Told<files::Listing> {
        let GrantRow(grant) = self.row(&grant)?;
        let asked = FolderAsked { grant, path: path.into(), after: after.map(Into::into), count };
        match self.call_files(FileRequest::List(Box::new(asked))).await? {
            Ok(FileReply::Listed(FolderListing { entries, more, unnamed })) => {
                let entries = entries.into_iter().map(entry_to_wit).collect();
                Ok(Ok(files::Listing { entries, more, unnamed }))
            }
            Ok(_) => Err(mismatch("files.list")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn describe(&mut self, grant: Resource<GrantRow>, path: String) -> Told<files::Entry> {
        let GrantRow(grant) = self.row(&grant)?;
        match self.call_files(FileRequest::Describe { grant, path: path.into() }).await? {
            Ok(FileReply::Described(entry)) => Ok(Ok(entry_to_wit(entry))),
            Ok(_) => Err(mismatch("files.describe")),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn read(&mut self, grant: Resource<GrantRow>, path: String) -> Told<files::Part> {
        self.read_file(grant, path, FileRange::Whole).await
    }

    async fn read_part(
        &mut self,
        grant: Resource<GrantRow>,
        path: String,
        offset: u64,
        length: u32,
        expected: Option<u64>,
    ) -> Told<files::Part> {
        self.read_file(grant, path, FileRange::Part { offset, length, expected }).await
    }
}

fn entry_to_wit(entry: FileEntry) -> files::Entry {
    let FileEntry { name, kind, size, modified_ns, revision } = entry;
    let kind = match kind {
        FileKind::File => files::Kind::File,
        FileKind::Folder => files::Kind::Folder,
        FileKind::Other => files::Kind::Other,
    };
    files::Entry { name: name.into(), kind, size, modified_at_ns: modified_ns, revision }
}

fn error_to_wit(error: FileError) -> Result<files::FileError> {
    Ok(match error {
        FileError::Denied(denial) => files::FileError::Denied(denial_to_wit(denial)),
        FileError::NoSuchFile => files::FileError::NoSuchFile,
        FileError::NotAFolder => files::FileError::NotAFolder,
        FileError::NotAFile => files::FileError::NotAFile,
        FileError::Changed => files::FileError::Changed,
        FileError::TooLarge { limit } => files::FileError::TooLarge(limit),
        FileError::Invalid(why) => files::FileError::Invalid(why.into()),
        FileError::NoRoom => files::FileError::NoRoom,
        FileError::Unavailable(why) => files::FileError::Unavailable(why.into()),
        FileError::Dead => return Err(gone("a grant")),
    })
}
