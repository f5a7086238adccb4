//! Skeleton.

mod block;
mod chunks;
mod context;
mod layout;
mod overhead;
mod pieces;
mod plan;
mod policy;
mod recall;
mod segment;
mod snapshot;
mod summary;

pub use block::{BLOCKS_MAX, Block, BlockError, Edit};
pub use context::{Config, Context, ContextError, NewBlock, SEGMENTS_MAX, Usage};
pub use pieces::{Piece, Stub};
pub use plan::{Leaving, Plan, PlanError, PrefixKept, Replacement};
pub use policy::{Budget, InPlace, Order, Policy};
pub use recall::Candidate;
pub use segment::{Clip, Clipping, NewSegment, Segment, SegmentId, SummaryId, Whereabouts};
pub use snapshot::{Snapshot, SnapshotError};
pub use summary::{COMPRESSION, STUB_ABSORBED_MAX, SUMMARY_TOKENS_MIN, Source, Summary, SummaryTask, Written};
