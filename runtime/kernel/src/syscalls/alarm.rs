//! `alarm`: moments to wake at, which outlive a restart.

use super::Context;
use crate::process::{Alarm, Process};
use remit_abi::{AlarmError, AlarmId, AlarmReply, AlarmRequest, limits};

pub(super) fn validate(process: &Process, request: &AlarmRequest) -> Result<(), AlarmError> {
    let AlarmRequest::Set { label, .. } = request else { return Ok(()) };
    if !(1..=limits::NAME_BYTES_MAX).contains(&label.len()) {
        return Err(AlarmError::Invalid(
            format!("it has {} bytes, and 1 to {}", label.len(), limits::NAME_BYTES_MAX).into(),
        ));
    }
    match process.has_room(process.alarms.len()) || find(process, label).is_some() {
        true => Ok(()),
        false => Err(AlarmError::TooMany { limit: process.limits.objects_max }),
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &AlarmRequest) -> Result<AlarmReply, AlarmError> {
    let process = &mut *context.process;
    match request {
        AlarmRequest::Set { label, at_ns } => {
            if let Some(old) = find(process, label) {
                process.alarms.remove(old);
            }
            Ok(AlarmReply::Set(process.alarms.insert(Alarm { label: label.clone(), at_ns: *at_ns })))
        }
        AlarmRequest::Take { label } => Ok(AlarmReply::Taken(find(process, label))),
        AlarmRequest::Moment { alarm } => {
            process.alarms.get(*alarm).map(|alarm| AlarmReply::Moment(alarm.at_ns)).ok_or(AlarmError::Dead)
        }
        AlarmRequest::Cancel { alarm } => {
            process.alarms.remove(*alarm).map(|_| AlarmReply::Cancelled).ok_or(AlarmError::Dead)
        }
    }
}

fn find(process: &Process, label: &str) -> Option<AlarmId> {
    process.alarms.iter().find(|(_, alarm)| *alarm.label == *label).map(|(id, _)| id)
}
