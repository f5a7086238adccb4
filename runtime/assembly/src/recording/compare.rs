//! Comparing two runs by their logs: what each asked, and what it was told, side by side, up to where they part.
//!
//! Two runs of one agent are never told the same by clocks and random numbers, so that an answer that differs is no end of the
//! comparison: a question that differs is. From there on the two have nothing to do with each other.

use remit_kernel::{
    Logged, Run,
    ports::{Entry, Line},
};

/// Two runs side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Questions that both asked, in the same order.
    pub shared: usize,
    /// Those that were answered otherwise.
    pub told: Vec<Difference>,
    /// The first one that only one of them asked, or that they asked differently.
    pub parted: Option<Difference>,
}

/// A place at which two runs differ. One of them may have ended before.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Of the one.
    pub left: Option<Logged>,
    /// Of the other.
    pub right: Option<Logged>,
}

/// Compares two runs.
#[must_use]
pub fn compare(left: &Run, right: &Run) -> Comparison {
    let (mut left, mut right) = (answers(left), answers(right));
    let mut comparison = Comparison { shared: 0, told: Vec::new(), parted: None };
    loop {
        let pair = Difference { left: left.next(), right: right.next() };
        match &pair {
            Difference { left: None, right: None } => return comparison,
            Difference { left: Some(left), right: Some(right) } if left.told.asked == right.told.asked => {
                comparison.shared += 1;
                if (&left.told.reply, &left.told.notes) != (&right.told.reply, &right.told.notes) {
                    comparison.told.push(pair);
                }
            }
            _ => {
                comparison.parted = Some(pair);
                return comparison;
            }
        }
    }
}

fn answers(run: &Run) -> impl Iterator<Item = Logged> {
    run.lines.iter().filter_map(|line| match line {
        Line { sequence, at_ns, entry: Entry::Told(told) } => {
            Some(Logged { sequence: *sequence, at_ns: *at_ns, told: told.clone() })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::{ClockReply, ClockRequest, Label, RandomRequest, Reply, Request, Tokens};
    use remit_kernel::ports::{Asked, Beginning, Told};
    use std::borrow::Cow;

    fn run(answers: &[(Request, u64)]) -> Run {
        let line = |(place, (request, reply)): (u64, &(Request, u64))| Line {
            sequence: place,
            at_ns: 0,
            entry: Entry::Told(Told {
                asked: Asked::of(request),
                reply: Cow::Owned(Reply::Clock(ClockReply::Wall(*reply))),
                notes: Vec::new(),
                paid: Tokens::ZERO,
                label: Label::default(),
            }),
        };
        Run { sequence: 2, at_ns: 0, began: Beginning::default(), lines: (3..).zip(answers).map(line).collect() }
    }

    #[test]
    fn two_runs_are_compared_up_to_where_they_ask_differently() {
        let (clock, random) = (Request::Clock(ClockRequest::Wall), Request::Random(RandomRequest::Bytes { length: 1 }));
        let first = run(&[(clock.clone(), 1), (clock.clone(), 2), (random, 3)]);
        let second = run(&[(clock.clone(), 1), (clock.clone(), 5), (clock, 6)]);
        let Comparison { shared, told, parted } = compare(&first, &second);
        assert_eq!(shared, 2);
        let places = |difference: &Difference| {
            let place = |logged: &Option<Logged>| logged.as_ref().map(|logged| logged.sequence);
            (place(&difference.left), place(&difference.right))
        };
        assert_eq!(told.iter().map(places).collect::<Vec<_>>(), [(Some(4), Some(4))]);
        assert_eq!(parted.as_ref().map(places), Some((Some(5), Some(5))));
        let Comparison { shared, parted, .. } = compare(&first, &first);
        assert_eq!((shared, parted), (3, None));
        let shorter = Run { lines: first.lines[..1].to_vec(), ..first.clone() };
        assert_eq!(compare(&first, &shorter).parted.as_ref().map(places), Some((Some(4), None)));
    }
}
