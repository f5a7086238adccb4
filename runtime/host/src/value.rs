//! `remit:kernel/value`: data that a process holds, read or unread.

use crate::{
    bindings::remit::kernel::{types, value},
    guest::{Guest, dead, mismatch},
    row::ValueRow,
};
use remit_abi::{Content, Integrity, Label, Reply, Request, ValueError, ValueInfo, ValueReply, ValueRequest};
use wasmtime::{Result, component::Resource};

impl Guest {
    fn call_value(&self, request: ValueRequest) -> Result<std::result::Result<ValueReply, ValueError>> {
        match self.call(&Request::Value(request))? {
            Reply::Value(reply) => Ok(reply),
            _ => Err(mismatch("value")),
        }
    }

    fn describe(&self, handle: &Resource<ValueRow>) -> Result<ValueInfo> {
        let ValueRow(value) = self.row(handle)?;
        match self.call_value(ValueRequest::Describe { value })? {
            Ok(ValueReply::Described(info)) => Ok(info),
            Ok(_) => Err(mismatch("value.describe")),
            Err(_) => Err(dead("value")),
        }
    }

    /// A text as the guest gives it.
    pub(crate) fn content(&self, content: value::Content) -> Result<Content> {
        Ok(match content {
            value::Content::Text(text) => Content::Text(text.into()),
            value::Content::Value(handle) => Content::Value(self.row(&handle)?.0),
        })
    }
}

impl value::Host for Guest {}

impl value::HostValue for Guest {
    fn from_bytes(
        &mut self,
        bytes: Vec<u8>,
        media_type: String,
    ) -> Result<std::result::Result<Resource<ValueRow>, value::ValueError>> {
        let request = ValueRequest::FromBytes { bytes: bytes.into(), media_type: media_type.into() };
        match self.call_value(request)? {
            Ok(ValueReply::Made(value)) => self.push(ValueRow(value)).map(Ok),
            Ok(_) => Err(mismatch("value.from-bytes")),
            Err(error) => error_to_wit(&error).map(Err),
        }
    }

    fn get_label(&mut self, handle: Resource<ValueRow>) -> Result<types::Label> {
        let info = self.describe(&handle)?;
        Ok(label_to_wit(info.label, info.tags))
    }

    fn get_size(&mut self, handle: Resource<ValueRow>) -> Result<u64> {
        Ok(self.describe(&handle)?.size)
    }

    fn get_media_type(&mut self, handle: Resource<ValueRow>) -> Result<String> {
        Ok(self.describe(&handle)?.media_type.into())
    }

    fn read(
        &mut self,
        handle: Resource<ValueRow>,
        offset: u64,
        length: u32,
    ) -> Result<std::result::Result<Vec<u8>, value::ValueError>> {
        let ValueRow(value) = self.row(&handle)?;
        match self.call_value(ValueRequest::Read { value, offset, length })? {
            Ok(ValueReply::Read(bytes)) => Ok(Ok(bytes.into())),
            Ok(_) => Err(mismatch("value.read")),
            Err(error) => error_to_wit(&error).map(Err),
        }
    }

    fn drop(&mut self, handle: Resource<ValueRow>) -> Result<()> {
        let ValueRow(value) = self.remove(handle)?;
        match self.call_value(ValueRequest::Drop { value })? {
            Ok(ValueReply::Dropped) => Ok(()),
            Ok(_) => Err(mismatch("value.drop")),
            Err(_) => Err(dead("value")),
        }
    }
}

/// A label by the names of its tags.
pub(crate) fn label_to_wit(label: Label, tags: Vec<Box<str>>) -> types::Label {
    let integrity = match label.integrity {
        Integrity::Trusted => types::Integrity::Trusted,
        Integrity::Untrusted => types::Integrity::Untrusted,
    };
    types::Label { integrity, tags: tags.into_iter().map(String::from).collect() }
}

fn error_to_wit(error: &ValueError) -> Result<value::ValueError> {
    Ok(match *error {
        ValueError::TooLarge { limit } => value::ValueError::TooLarge(limit),
        ValueError::TooMany { limit } => value::ValueError::TooMany(limit),
        ValueError::OutOfRange { size } => value::ValueError::OutOfRange(size),
        ValueError::Dead => return Err(dead("value")),
    })
}
