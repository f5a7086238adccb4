//! The rights that the process was given. A label looks one up; it never opens anything by itself.

use crate::{Denial, bindings::remit::kernel::capability};

pub use capability::GrantInfo;

/// All grants of this process, in the manifest's order.
///
/// ```no_run
/// for grant in remit::capability::list() {
///     remit::debug!("{} is a {} of {}", grant.label, grant.kind, grant.scope.join(", "));
/// }
/// ```
#[must_use]
pub fn list() -> Vec<GrantInfo> {
    capability::list()
}

/// An unforgeable right.
///
/// [`Model::take`](crate::Model::take) takes a grant and opens its model in one step.
///
/// ```no_run
/// use remit::{Model, capability::Grant};
///
/// # fn example() -> Result<(), remit::Failure> {
/// let grant = Grant::take("chat")?;
/// let model = Model::open(&grant)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Grant(pub(crate) capability::Grant);

impl Grant {
    /// The grant under a label of the manifest.
    ///
    /// # Errors
    /// [`Denial`] where no such grant was given.
    pub fn take(label: &str) -> Result<Self, Denial> {
        Ok(Self(capability::take(label)?))
    }

    /// Label, kind, scope and limits.
    ///
    /// # Errors
    /// [`Denial`] where it is this process's no more.
    pub fn info(&self) -> Result<GrantInfo, Denial> {
        Ok(self.0.get_info()?)
    }
}
