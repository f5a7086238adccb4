//! `remit:kernel/alarm`: moments to wake at.
//!
//! An alarm is the kernel's, under its label; a handle owns nothing, and there can be several on one alarm.

use crate::{
    bindings::remit::kernel::alarm,
    guest::{Guest, gone, mismatch},
    row::{AlarmRow, PollableRow},
};
use remit_abi::{AlarmError, AlarmReply, AlarmRequest, Reply, Request, WaitId};
use wasmtime::{Result, component::Resource};

impl Guest {
    fn call_alarm(&self, request: AlarmRequest) -> Result<std::result::Result<AlarmReply, AlarmError>> {
        match self.call(&Request::Alarm(request))? {
            Reply::Alarm(reply) => Ok(reply),
            _ => Err(mismatch("alarm")),
        }
    }
}

impl alarm::Host for Guest {
    fn set(&mut self, label: String, at_ns: u64) -> Result<std::result::Result<Resource<AlarmRow>, alarm::AlarmError>> {
        match self.call_alarm(AlarmRequest::Set { label: label.into(), at_ns })? {
            Ok(AlarmReply::Set(alarm)) => self.push(AlarmRow(alarm)).map(Ok),
            Err(AlarmError::TooMany { limit }) => Ok(Err(alarm::AlarmError::TooMany(limit))),
            Err(AlarmError::Invalid(reason)) => Ok(Err(alarm::AlarmError::Invalid(reason.into()))),
            Ok(_) | Err(AlarmError::Dead) => Err(mismatch("alarm.set")),
        }
    }

    /// Under a label that is none there is no alarm.
    fn take(&mut self, label: String) -> Result<Option<Resource<AlarmRow>>> {
        match self.call_alarm(AlarmRequest::Take { label: label.into() })? {
            Ok(AlarmReply::Taken(alarm)) => alarm.map(|alarm| self.push(AlarmRow(alarm))).transpose(),
            Err(AlarmError::Invalid(_)) => Ok(None),
            _ => Err(mismatch("alarm.take")),
        }
    }
}

impl alarm::HostAlarm for Guest {
    fn get_moment(&mut self, handle: Resource<AlarmRow>) -> Result<u64> {
        let AlarmRow(alarm) = self.row(&handle)?;
        match self.call_alarm(AlarmRequest::Moment { alarm })? {
            Ok(AlarmReply::Moment(nanoseconds)) => Ok(nanoseconds),
            Err(AlarmError::Dead) => Err(gone("an alarm")),
            _ => Err(mismatch("alarm.get-moment")),
        }
    }

    fn subscribe(&mut self, handle: Resource<AlarmRow>) -> Result<Resource<PollableRow>> {
        let AlarmRow(alarm) = self.row(&handle)?;
        self.push(PollableRow(WaitId::Alarm(alarm)))
    }

    /// What is gone already is unset.
    fn cancel(&mut self, handle: Resource<AlarmRow>) -> Result<()> {
        let AlarmRow(alarm) = self.remove(handle)?;
        match self.call_alarm(AlarmRequest::Cancel { alarm })? {
            Ok(AlarmReply::Cancelled) | Err(AlarmError::Dead) => Ok(()),
            _ => Err(mismatch("alarm.cancel")),
        }
    }

    fn drop(&mut self, handle: Resource<AlarmRow>) -> Result<()> {
        self.remove(handle).map(drop)
    }
}
