//! What changes about a grant when it changes hands.

use super::Grants;
use remit_abi::GrantId;

impl Grants {
    /// Whether a grant is held and was not taken back. It may still have expired or be used up.
    #[must_use]
    pub fn is_live(&self, id: GrantId) -> bool {
        self.tree.get(id).is_some_and(|node| !node.revoked && !node.released)
    }

    /// Gives a grant the label under which its new holder finds it. A dead grant has none.
    pub fn relabel(&mut self, id: GrantId, label: &str) {
        if let Some(node) = self.tree.get_mut(id) {
            node.spec.label = label.into();
            self.note(id);
        }
    }
}
