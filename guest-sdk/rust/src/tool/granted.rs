//! Tools that the process was granted: what they are, and having them act.

use crate::{
    Content, Denial, ResultError, ToolError, Value,
    bindings::remit::kernel::tool,
    capability::{Grant, Narrowing, list},
    wait::{Pollable, Waitable, Watched},
};

pub use tool::Description;

/// A tool that acts outside the node, of a grant of kind `tool`.
///
/// ```no_run
/// use remit::{Failure, Value, tool::GrantedTool};
///
/// fn order(article: &str) -> Result<Value, Failure> {
///     let order = GrantedTool::take("order")?;
///     Ok(order.call(&*format!("{{\"article\": {article:?}}}"))?.get()?)
/// }
/// ```
///
/// A call is done once, whatever crashes, or the process is told that this is not known ([`ResultError::Uncertain`]). What is called
/// and not waited for can be waited for beside other things ([`wait`](crate::wait)); a process that waits for long leaves memory
/// meanwhile.
#[derive(Debug)]
pub struct GrantedTool(Grant);

impl GrantedTool {
    /// The tool of the grant under a label of the manifest.
    ///
    /// # Errors
    /// [`Denial`] where no such grant was given.
    pub fn take(label: &str) -> Result<Self, Denial> {
        Ok(Self(Grant::take(label)?))
    }

    /// The tools that its grant opens, as far as they are declared: one, unless the grant is wider.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn describe(&self) -> Result<Vec<Description>, ToolError> {
        Ok(tool::describe(&self.0.0)?)
    }

    /// Calls it with a JSON object, and does not wait.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn call<'a>(&self, arguments: impl Into<Content<'a>>) -> Result<PendingResult, ToolError> {
        Ok(PendingResult(tool::call(&self.0.0, arguments.into().raw())?))
    }
}

impl From<Grant> for GrantedTool {
    /// The tool of a grant of kind `tool`.
    fn from(grant: Grant) -> Self {
        Self(grant)
    }
}

/// A call under way. Dropping it lets go of it: what has not begun never begins, and what runs is stopped, wherever it is.
#[derive(Debug)]
pub struct PendingResult(tool::PendingResult);

impl PendingResult {
    /// Waits for what comes of it, and takes it: what the tool said, unread. It is untrusted, unless the tool's operator says otherwise.
    ///
    /// # Errors
    /// [`ResultError`]; only after [`ResultError::NoRoom`] can it be asked for again.
    pub fn get(&self) -> Result<Value, ResultError> {
        Ok(Value::new(self.0.get()?))
    }

    /// Ready when it is known what came of it; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.0.subscribe())
    }
}

impl Waitable for PendingResult {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}

/// Every tool that the process may call, each under a grant of its own. What is not declared, or opens nothing any more, is left out.
pub(super) fn all() -> Result<Vec<(Description, GrantedTool)>, ToolError> {
    let mut found: Vec<(Description, GrantedTool)> = Vec::new();
    for info in list().into_iter().filter(|info| info.kind == KIND) {
        let granted = GrantedTool::take(&info.label)?;
        for described in granted.describe().unwrap_or_default() {
            if found.iter().any(|(known, _)| known.name == described.name) {
                continue;
            }
            let tool = match info.scope.as_slice() {
                [only] if *only == described.name => Some(GrantedTool::take(&info.label)?),
                _ => granted.narrowed_to(&described.name),
            };
            found.extend(tool.map(|tool| (described, tool)));
        }
    }
    Ok(found)
}

/// Of grants of tools.
const KIND: &str = "tool";

impl GrantedTool {
    /// One of several, under a label that it keeps; `None` where there is no room for one more grant.
    fn narrowed_to(&self, name: &str) -> Option<Self> {
        let label = format!("{KIND}/{name}");
        let narrowed = Grant::take(&label).ok();
        let narrowed = narrowed.or_else(|| self.0.attenuate(&label, &Narrowing::new().scope(&[name])).ok());
        narrowed.map(Self)
    }
}
