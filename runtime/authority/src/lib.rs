//! Who may do what, and who pays: grants, accounts and prices.
//!
//! Everything here is a pure data structure: no I/O, no clock, no lock, no await. The kernel holds one of each and changes
//! them in short steps.
//!
//! Principles:
//!
//! - A process starts with no grant and no token.
//! - Deriving a right only shrinks it; revoking a grant takes its whole subtree with it.
//! - Tokens are neither made nor lost: an account tree holds exactly what was deposited less what was spent.

mod account;
mod arena;
mod grant;
mod numbered;
mod price;
mod tree;

pub use account::{AccountError, AccountImage, AccountNode, Accounts, Away};
pub use arena::Arena;
pub use grant::{Explanation, GrantError, GrantImage, GrantNode, Grants, Limit, Refusal, Use};
pub use numbered::Numbered;
pub use price::{ModelPrices, Money, PriceError, PriceList, StatedPrices};
