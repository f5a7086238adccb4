//! The rights that the process was given. A label looks one up; it never opens anything by itself.
//!
//! A right can be made smaller and passed on, and taken back from whoever holds it then:
//!
//! ```no_run
//! use remit::capability::{Grant, Narrowing};
//!
//! # fn example() -> Result<(), remit::Failure> {
//! let chat = Grant::take("chat")?;
//! let brief = chat.attenuate("brief", &Narrowing::new().max_tokens_per_call(64).uses(10))?;
//! // … pass `brief` on, and when its holder should be done:
//! chat.revoke_derived("brief");
//! # Ok(()) }
//! ```

use crate::{AttenuationError, Denial, bindings::remit::kernel::capability, value::Label};
use std::time::Duration;

pub use capability::{Access, GrantInfo, Limits, Rate};

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

/// An unforgeable right. Dropping it keeps the right, under its label; [`Grant::discard`] gives it up.
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
    /// The grant under a label of the manifest, or the one that it was passed on under.
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

    /// Whether it would still open anything.
    ///
    /// # Errors
    /// [`Denial`] where it would not, and why.
    pub fn check(&self) -> Result<(), Denial> {
        Ok(self.0.check()?)
    }

    /// Derives a grant that goes no further, under a label of its own. Both are this process's.
    ///
    /// # Errors
    /// [`AttenuationError`], for example where it would go further.
    pub fn attenuate(&self, label: &str, narrowing: &Narrowing<'_>) -> Result<Self, AttenuationError> {
        let Narrowing { scope, access, limits } = narrowing;
        Ok(Self(self.0.attenuate(label, capability::Narrowing { scope: *scope, access: *access, limits })?))
    }

    /// Takes back every grant that this process derived from it under that label, wherever it is now. How many there were,
    /// those derived from them included.
    pub fn revoke_derived(&self, label: &str) -> u32 {
        self.0.revoke_derived(label)
    }

    /// Gives it up. What was derived from it lives on.
    pub fn discard(self) {
        capability::Grant::discard(self.0);
    }
}

/// A grant that is passed on, and the name under which its new holder finds it.
#[derive(Debug)]
pub struct NamedGrant {
    /// The name.
    pub label: String,
    /// The right.
    pub grant: Grant,
}

impl NamedGrant {
    pub(crate) fn from_raw(raw: capability::NamedGrant) -> Self {
        Self { label: raw.label, grant: Grant(raw.grant) }
    }

    pub(crate) fn into_raw(self) -> capability::NamedGrant {
        capability::NamedGrant { label: self.label, grant: self.grant.0 }
    }
}

/// What a derived grant keeps. [`Narrowing::new`] keeps all of it.
///
/// ```
/// use remit::capability::Narrowing;
/// use std::time::Duration;
///
/// let narrowing = Narrowing::new().scope(&["smollm2-135m"]).read_only().rate(5, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct Narrowing<'a> {
    scope: Option<&'a [&'a str]>,
    access: Option<Access>,
    limits: Limits,
}

impl<'a> Narrowing<'a> {
    /// All that the grant has.
    #[must_use]
    pub const fn new() -> Self {
        let limits = Limits { uses: None, rate: None, expires_at: None, max_tokens_per_call: None, ceiling: None };
        Self { scope: None, access: None, limits }
    }

    /// These alone, each covered by the grant's own scope.
    #[must_use]
    pub const fn scope(mut self, scope: &'a [&'a str]) -> Self {
        self.scope = Some(scope);
        self
    }

    /// To look, and change nothing.
    #[must_use]
    pub const fn read_only(self) -> Self {
        self.access(Access::ReadOnly)
    }

    /// What may be done.
    #[must_use]
    pub const fn access(mut self, access: Access) -> Self {
        self.access = Some(access);
        self
    }

    /// So many uses in all.
    #[must_use]
    pub const fn uses(mut self, uses: u64) -> Self {
        self.limits.uses = Some(uses);
        self
    }

    /// So many uses in any window of so long, in whole milliseconds.
    #[must_use]
    pub fn rate(mut self, uses: u32, window: Duration) -> Self {
        let per_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.limits.rate = Some(Rate { uses, per_ms });
        self
    }

    /// Until this moment, as a time [since the epoch](crate::time::since_epoch).
    #[must_use]
    pub fn expires_at(mut self, since_epoch: Duration) -> Self {
        self.limits.expires_at = Some(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// At most so many output tokens a call.
    #[must_use]
    pub const fn max_tokens_per_call(mut self, tokens: u32) -> Self {
        self.limits.max_tokens_per_call = Some(tokens);
        self
    }

    /// The highest label of data that may flow into what it opens.
    #[must_use]
    pub fn ceiling(mut self, label: Label) -> Self {
        self.limits.ceiling = Some(label);
        self
    }
}

impl Default for Narrowing<'_> {
    fn default() -> Self {
        Self::new()
    }
}
