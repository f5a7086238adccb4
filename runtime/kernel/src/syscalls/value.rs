//! `value`: data held read or unread. Only reading raises the process's label.

use super::Context;
use crate::process::Value;
use remit_abi::{ValueError, ValueInfo, ValueReply, ValueRequest, limits};

pub(super) fn validate(request: &ValueRequest) -> Result<(), ValueError> {
    match request {
        ValueRequest::FromBytes { bytes, .. } if bytes.len() as u64 > limits::VALUE_CHUNK_BYTES_MAX => {
            Err(ValueError::TooLarge { limit: limits::VALUE_CHUNK_BYTES_MAX })
        }
        ValueRequest::FromBytes { media_type, .. } if media_type.len() > limits::NAME_BYTES_MAX => {
            Err(ValueError::TooLarge { limit: limits::NAME_BYTES_MAX as u64 })
        }
        _ => Ok(()),
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &ValueRequest) -> Result<ValueReply, ValueError> {
    let process = &mut *context.process;
    match request {
        ValueRequest::FromBytes { bytes, media_type } => {
            let value = Value { bytes: bytes.clone(), media_type: (&**media_type).into(), label: process.label };
            process.values.insert(value, &process.limits).map(ValueReply::Made)
        }
        ValueRequest::Describe { value } => {
            let value = process.values.get(*value).ok_or(ValueError::Dead)?;
            Ok(ValueReply::Described(ValueInfo {
                label: value.label,
                tags: context.shared.tags.names(process.pid.tenant, value.label.tags),
                size: value.bytes.len() as u64,
                media_type: (&*value.media_type).into(),
            }))
        }
        ValueRequest::Read { value, offset, length } => {
            let value = process.values.get(*value).ok_or(ValueError::Dead)?;
            let size = value.bytes.len();
            let begin = usize::try_from(*offset).ok().filter(|begin| *begin <= size);
            let begin = begin.ok_or(ValueError::OutOfRange { size: size as u64 })?;
            let length = u64::from(*length).min(limits::VALUE_CHUNK_BYTES_MAX) as usize;
            process.label = process.label.join(value.label);
            Ok(ValueReply::Read(value.bytes.slice(begin..size.min(begin.saturating_add(length)))))
        }
        ValueRequest::Drop { value } => {
            process.values.remove(*value).map(|_| ValueReply::Dropped).ok_or(ValueError::Dead)
        }
    }
}
