//! Virtual memory for a conversation: the model's window is the RAM, the tenant's memory is the disk, and the kernel does the paging. This
//! crate says what to page.
//!
//! (Packer et al. 2023, "MemGPT: Towards LLMs as Operating Systems"; Denning 1970, "Virtual Memory".)
//!
//! | of an operating system | is here |
//! | --- | --- |
//! | a page | a *segment*: a message, whose body is the caller's and is never looked into |
//! | pages that are locked | core blocks, and pinned segments |
//! | the page table | runs of segments that are shown alike: resident, clipped, under a stub, under a summary |
//! | page replacement | a [`Policy`]: least recently used, by importance, or the agent's own order |
//! | watermarks of free pages | the policy's marks: nothing goes out before the window is full, and then enough for some turns |
//! | a page fault | [`Context::page_in`] by id; [`Context::recall`] of what a search found |
//! | copy on write | [`Context::fork`] |
//!
//! # A turn
//!
//! | the kernel does | by |
//! | --- | --- |
//! | take what was said | [`Context::append`] |
//! | show what a search found | [`Context::recall`] |
//! | ask what has to leave | [`Context::plan`] |
//! | have the plan's summaries written, and put what leaves where searches find it; then do it | [`Context::apply`] |
//! | render and count the pieces | [`Context::pieces`] |
//! | where that is more than a prompt may have: say so, and plan again | [`Context::correct`] |
//! | give it to the model | [`Context::mark_sent`] |
//! | take the answer, and end the turn | [`Context::append`], [`Context::end_turn`] |
//!
//! ```
//! use remit_abi::Role;
//! use remit_context::{Budget, Config, Context, NewSegment, Piece, Policy};
//!
//! # fn count(context: &Context<String>) -> u32 {
//! #     context.pieces().map(|piece| if let Piece::Segment(segment) = piece { segment.tokens + 4 } else { 28 }).sum()
//! # }
//! let (mut context, policy) = (Context::new(Config::default()), Policy::default());
//! let budget = Budget { window: 2_048, output_reserve: 256, recall_budget: 0 };
//! for turn in 0..100 {
//!     context.append(NewSegment::new(Role::User, 40, format!("question {turn}")))?;
//!     loop {
//!         let plan = context.plan(budget, &policy)?;
//!         context.apply(plan, Vec::new())?;
//!         let counted = count(&context);
//!         if counted <= 2_048 - 256 {
//!             break;
//!         }
//!         context.correct(counted);
//!     }
//!     context.mark_sent();
//!     context.append(NewSegment::new(Role::Assistant, 40, format!("answer {turn}")))?;
//!     context.end_turn(&policy);
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The loop ends. After [`Context::correct`] as many tokens are expected of the same pieces as were counted, which is more than the prompt may
//! have; so the next plan is another one, or an error. A plan pages nothing in: each one leaves fewer segments, shorter clips, or fewer
//! pieces in their place. And what it leaves out is mostly enough at once: what a chat template adds falls with the number of
//! pieces, and the line through the last two counts says how. With templates that add 40 tokens to each piece, 300 to all, or 200 more to each
//! stub than was told, no prompt of 30,000 took more than two rounds (`tests/template.rs`).
//!
//! # Principles
//!
//! - Pure: no clock, no chance, no I/O. The same calls give the same plans, so that the kernel can replay them from its log.
//! - Nothing is ever lost. Each segment lies in exactly one run, and any can be shown again.
//! - What means nothing alone is not shown alone: a result stays with its call, and both go, or neither.
//! - The newest turn stays. Where it alone is too much it is clipped, and only then do its own oldest steps go out.
//! - The prompt changes at its end where it can, since a model's prefix cache serves what is as before: blocks are at the beginning, what
//!   is recalled stands behind what was asked last, and paging out is rare. [`Plan::kept`] says what is as before, and
//!   [below](#what-stays-as-it-was) is how much that is.
//! - What the caller says is an allegation. Ids that there are not, sizes beyond any window, and snapshots that somebody changed are errors.
//! - Labels join: a summary has that of all that it is made of, and a prompt that of all its pieces.
//!
//! # What it costs
//!
//! Of *n* segments *s* are shown, in *r* runs; *r* is no more than *2s + 1*.
//!
//! | operation | takes |
//! | --- | --- |
//! | [`append`](Context::append), [`touch`](Context::touch), [`set_importance`](Context::set_importance), [`unpin`](Context::unpin) | O(1); after a fork once more O(n / 64), and after [`mark_sent`](Context::mark_sent) once more O(r) |
//! | [`pin`](Context::pin), [`page_in`](Context::page_in) of *k* | O(r + k log k) |
//! | [`plan`](Context::plan) where all fits | O(r) |
//! | [`plan`](Context::plan) where it does not | O(s log s) |
//! | [`apply`](Context::apply), [`tokens`](Context::tokens), [`usage`](Context::usage) | O(r) |
//! | [`pieces`](Context::pieces) | O(s) |
//! | [`recall`](Context::recall) from *k* | O(k log k + k log r) |
//! | [`fork`](Context::fork) | O(1) |
//! | [`snapshot`](Context::snapshot), [`restore`](Context::restore) | O(n) |
//!
//! Measured (`cargo bench -p remit-context --bench plan`, medians in µs, on two shared virtual cores):
//!
//! | of 10,000 segments are shown | 40 | 1,000 | 10,000 |
//! | --- | --- | --- | --- |
//! | a plan where all fits | 0.4 | 0.3 | 0.4 |
//! | a plan where 40 % go out, by use | 2.5 | 45 | 810 |
//! | by importance, in no order of age | 4.5 | 105 | 1,740 |
//! | in an order of 1,430 ids | 18 | 104 | 1,140 |
//! | by use, with a summary | 3.2 | 52 | 560 |
//! | a fork, and an append to it | 7.6 | 6.2 | 8.2 |
//!
//! A turn of one of 1,000 contexts with windows of 2,048 tokens: 2.2 µs, and 10 µs for one of a hundred; with summaries 2.8 and 11.
//!
//! # Watermarks
//!
//! The simulation (`cargo bench -p remit-context --bench watermarks`) has 20,000 turns of two messages with 38 tokens on average, one in
//! ten ten times as long. *Computed* is how many tokens of prompts no prefix cache could serve, for each token that was said; *full* is how
//! much of what it may have a prompt has on average.
//!
//! | marks | 2,048: prompts of 100 that page | computed | full | 8,192: prompts of 100 that page | computed | full |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 100 %, 40 % | 6.2 | 1.40 | 66 % | 1.7 | 1.59 | 69 % |
//! | 100 %, 50 % | 7.3 | 1.64 | 71 % | 2.0 | 1.90 | 74 % |
//! | **100 %, 60 %** | 8.7 | 1.95 | 76 % | 2.5 | 2.35 | 79 % |
//! | 100 %, 70 % | 11.3 | 2.53 | 81 % | 3.3 | 3.06 | 84 % |
//! | 100 %, 80 % | 15.1 | 3.39 | 86 % | 4.8 | 4.46 | 89 % |
//! | 100 %, 90 % | 22.7 | 5.13 | 91 % | 8.8 | 8.14 | 94 % |
//! | 90 %, 70 % | 15.1 | 3.03 | 76 % | 4.8 | 4.01 | 79 % |
//!
//! A high mark below 100 % only makes paging more frequent: 90 % and 70 % show as much as 100 % and 60 %, and compute half as much again. Each
//! ten points of the low mark show five points more; up to 60 % they cost 0.3 to 0.5 tokens computed for each that is said, and 0.6 to 0.7 at
//! the next step. So 60 %: prompts are three quarters full, and a token is computed about twice.
//!
//! # What stays as it was
//!
//! What is recalled leaves with its turn, and all that stood behind it is computed again. So it stands behind the message that was asked last, and
//! not before it: that message then stays where it is. The simulation (`cargo bench -p remit-context --bench prefix`) has the
//! conversations from above, and a search in each turn that finds four segments, of which those are recalled that fit in a part of the
//! prompt. *Again* is how many tokens were computed in a turn that were neither said nor recalled in it; *kept* is how much of a prompt was the
//! beginning of the one before. First before the message, then behind it, as it is:
//!
//! | stubs: window, recalled | kept before it | kept behind it | again before it | again behind it |
//! | --- | --- | --- | --- | --- |
//! | 2,048, none | 89.0 % | 89.0 % | 72.6 | 72.6 |
//! | 2,048, 10 % | 74.7 % | 77.2 % | 103.3 | 69.1 |
//! | 2,048, 25 % | 58.5 % | 60.9 % | 97.7 | 63.7 |
//! | 8,192, none | 96.8 % | 96.8 % | 103.1 | 103.1 |
//! | 8,192, 10 % | 86.7 % | 87.3 % | 139.2 | 102.3 |
//! | 32,768, none | 99.2 % | 99.2 % | 109.3 | 109.3 |
//! | 32,768, 10 % | 96.3 % | 96.5 % | 147.0 | 109.9 |
//!
//! | summaries: window, recalled | kept before it | kept behind it | again before it | again behind it |
//! | --- | --- | --- | --- | --- |
//! | 2,048, none | 90.6 % | 90.6 % | 46.4 | 46.4 |
//! | 2,048, 10 % | 75.7 % | 78.3 % | 75.5 | 40.6 |
//! | 2,048, 25 % | 59.0 % | 61.6 % | 67.1 | 32.5 |
//! | 8,192, 10 % | 86.7 % | 87.4 % | 99.0 | 62.0 |
//! | 32,768, 10 % | 96.3 % | 96.5 % | 103.3 | 66.1 |
//!
//! So recalling costs what is recalled, and nothing besides: what is computed again is what paging moves, as without it. To keep what was
//! recalled where it stands for further turns ([`Policy::recalled_turns`]) would keep more of the prompt and fill the window sooner: each
//! turn adds all that it recalls, and what is saved is lost to paging.

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

pub use block::{BLOCKS_MAX, Block, BlockError, Edit, NewBlock};
pub use context::{Config, Context, ContextError, SEGMENTS_MAX, Usage};
pub use pieces::{Piece, Stub};
pub use plan::{Leaving, Plan, PlanError, PrefixKept, Replacement};
pub use policy::{Budget, InPlace, Order, Policy};
pub use recall::Candidate;
pub use segment::{Clip, Clipping, NewSegment, Segment, SegmentId, SummaryId, Whereabouts};
pub use snapshot::{Snapshot, SnapshotError};
pub use summary::{
    COMPRESSION, STUB_ABSORBED_MAX, SUMMARIES_NEW_MAX, SUMMARY_TOKENS_MIN, Source, Summary, SummaryTask, Written,
};
