//! A GPU's memory, which the models of a node share: each plans with what the others leave.
//!
//! Who builds a model takes a lease before it allocates, and gives it back when the model's weights leave. Leases count what is planned:
//! weights, keys and values, and what products are computed in. What a driver or another process takes is not known here; an operator
//! says so by a lower limit ([`Limits::device_bytes`](crate::Limits::device_bytes)).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that are taken of each device, by its name.
#[derive(Debug, Default)]
pub(super) struct Devices(Mutex<BTreeMap<Arc<str>, u64>>);

/// A part of a device's memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct DeviceLease {
    devices: Arc<Devices>,
    name: Arc<str>,
    bytes: u64,
}

impl Devices {
    /// Lets `plan` decide with what is left of `most` bytes of a device. It answers with its plan, and with how much that takes.
    pub(super) fn lease<T, E>(
        self: &Arc<Self>,
        device: &str,
        most: u64,
        plan: impl FnOnce(u64) -> Result<(T, u64), E>,
    ) -> Result<(T, DeviceLease), E> {
        let mut taken = self.taken();
        let (plan, bytes) = plan(most.saturating_sub(taken.get(device).copied().unwrap_or(0)))?;
        let name: Arc<str> = device.into();
        let sum = taken.entry(name.clone()).or_default();
        *sum = sum.saturating_add(bytes);
        Ok((plan, DeviceLease { devices: self.clone(), name, bytes }))
    }

    /// What is taken of each device.
    pub(super) fn view(&self) -> Vec<(Arc<str>, u64)> {
        self.taken().iter().map(|(name, bytes)| (name.clone(), *bytes)).collect()
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DeviceLease {
    fn drop(&mut self) {
        let mut taken = self.devices.taken();
        if let Some(sum) = taken.get_mut(&self.name) {
            *sum = sum.saturating_sub(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plans_with_what_the_others_leave() {
        let devices = Arc::<Devices>::default();
        // Takes half of what is left.
        let half = |left: u64| Ok::<_, ()>((left, left / 2));
        let (left, first) = devices.lease("a", 100, half).unwrap();
        assert_eq!(left, 100);
        let (left, second) = devices.lease("a", 100, half).unwrap();
        assert_eq!((left, devices.view()), (50, vec![("a".into(), 75)]));
        assert_eq!(devices.lease("b", 10, half).unwrap().0, 10, "another device is another's");
        assert_eq!(devices.lease("a", 60, half).unwrap().0, 0, "one that may use less of it");
        drop(first);
        assert_eq!(devices.lease("a", 100, half).unwrap().0, 75);
        assert!(devices.lease("a", 100, |_| Err::<((), u64), _>(())).is_err(), "a plan that fails takes nothing");
        drop(second);
        assert_eq!(devices.lease("a", 100, half).unwrap().0, 100);
    }
}
