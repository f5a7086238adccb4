//! The simulated machine.

use crate::{
    BLOCK_TOKENS, Batcher, Block, Class, Config, Drafter, Move, Namespace, Outcome, Plan, Policy, Prefix, Refusal,
    Report, Request, SequenceId, Slot, Span, Speed, tree::Place,
};
use std::{collections::BTreeMap, time::Duration};

/// What is drawn is below this: few, so that sequences often go on alike.
const VOCABULARY: u64 = 3;

fn mix(state: u64, token: u32) -> u64 {
    let mut mixed = (state ^ u64::from(token)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The state behind each token.
fn states(namespace: Namespace, tokens: &[u32]) -> Vec<u64> {
    let begin = mix(namespace.tenant.wrapping_mul(31).wrapping_add(namespace.model), u32::MAX);
    let next = |state: &mut u64, token: &u32| {
        *state = mix(*state, *token);
        Some(*state)
    };
    tokens.iter().scan(begin, next).collect()
}

fn drawn_from(state: u64) -> u32 {
    (state % VOCABULARY) as u32
}

/// A request's tokens at its end.
fn all_tokens(request: &Request) -> Vec<u32> {
    let mut tokens = request.prompt.clone();
    for _ in 0..request.output_max {
        let state = *states(request.namespace, &tokens).last().expect("a prompt has tokens");
        tokens.push(drawn_from(state));
    }
    tokens
}

/// A request of nobody in particular.
pub(super) fn request(prompt: Vec<u32>, output_max: usize) -> Request {
    Request {
        namespace: Namespace { tenant: 1, model: 1 },
        tenant: 1,
        program: 1,
        class: Class::Normal,
        weight: 1,
        deadline: None,
        prompt,
        output_max,
    }
}

/// That of a tenant and one of its programs.
pub(super) fn request_of(tenant: u64, program: u64, prompt: Vec<u32>, output_max: usize) -> Request {
    let namespace = Namespace { tenant, model: 1 };
    Request { namespace, tenant, program, ..request(prompt, output_max) }
}

/// So many tokens that begin like no other `seed`'s.
pub(super) fn words(seed: u32, length: usize) -> Vec<u32> {
    (0..length as u32).map(|place| seed.wrapping_mul(1_000_003).wrapping_add(place)).collect()
}

/// What is known of a sequence.
#[derive(Debug)]
pub(super) struct Known {
    request: Request,
    /// All tokens that it comes to.
    expect: Vec<u32>,
    /// When each token was drawn.
    pub(super) drawn: Vec<Duration>,
    /// Steps in which it was.
    pub(super) steps: usize,
    pub(super) ended: Option<Report>,
}

impl Known {
    /// All that it comes to.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.expect
    }
}

pub(super) struct Machine {
    pub(super) batcher: Batcher,
    blocks: Vec<[u64; BLOCK_TOKENS]>,
    slots: Vec<[u64; BLOCK_TOKENS]>,
    /// Blocks that were kept as they left.
    pub(super) snapshots: BTreeMap<Prefix, [u64; BLOCK_TOKENS]>,
    /// How long steps really take.
    truth: Speed,
    pub(super) now: Duration,
    pub(super) known: BTreeMap<SequenceId, Known>,
    pub(super) live: Vec<SequenceId>,
    pub(super) waste: Vec<f64>,
    /// Whether each step is checked thoroughly, which takes time.
    pub(super) checks: bool,
}

impl Machine {
    pub(super) fn new(config: Config, policy: impl Policy + 'static) -> Self {
        Self::with(config, Box::new(policy))
    }

    pub(super) fn with(config: Config, policy: Box<dyn Policy>) -> Self {
        let slots = config.swap.map_or(0, |swap| swap.slots);
        Self {
            blocks: vec![[0; BLOCK_TOKENS]; config.blocks],
            slots: vec![[0; BLOCK_TOKENS]; slots],
            snapshots: BTreeMap::new(),
            truth: config.speed.clone(),
            batcher: Batcher::new(config, policy),
            now: Duration::ZERO,
            known: BTreeMap::new(),
            live: Vec::new(),
            waste: Vec::new(),
            checks: true,
        }
    }

    pub(super) fn add(&mut self, request: Request) -> Result<SequenceId, Refusal> {
        let id = self.batcher.add(request.clone(), self.now)?;
        let expect = if self.checks { all_tokens(&request) } else { Vec::new() };
        let known = Known { request, expect, drawn: Vec::new(), steps: 0, ended: None };
        self.known.insert(id, known);
        self.live.push(id);
        Ok(id)
    }

    pub(super) fn cancel(&mut self, id: SequenceId) {
        assert!(self.batcher.cancel(id, self.now).is_some());
        self.live.retain(|live| *live != id);
    }

    /// Proposes what will be drawn, with the last of these tokens wrong where `is_wrong`.
    pub(super) fn propose(&mut self, id: SequenceId, count: usize, is_wrong: bool) {
        let Some(tokens) = self.batcher.tokens(id).map(<[u32]>::len) else { return };
        let mut proposed: Vec<_> = self.known[&id].expect[tokens..].iter().copied().take(count).collect();
        if is_wrong && let Some(last) = proposed.last_mut() {
            *last += 1;
        }
        self.batcher.propose(id, &proposed);
    }

    /// Drafts from what the sequence has.
    pub(super) fn speculate(&mut self, id: SequenceId) {
        let mut drafter = Drafter::default();
        let Some(tokens) = self.batcher.tokens(id).map(<[u32]>::to_vec) else { return };
        let draft = drafter.draft(&tokens);
        let count = draft.tokens.len();
        assert!(self.batcher.speculate(id, draft) <= count);
    }

    fn make(&mut self, step: &Move) {
        match *step {
            Move::Out(Block(from), Slot(to)) => self.slots[to as usize] = self.blocks[from as usize],
            Move::In(Slot(from), Block(to)) => self.blocks[to as usize] = self.slots[from as usize],
            Move::Copy(Block(from), Block(to)) => self.blocks[to as usize] = self.blocks[from as usize],
            Move::Keep(place, prefix) => self.keep(place, prefix),
        }
    }

    /// Keeps a snapshot of a block.
    pub(super) fn keep(&mut self, place: Place, prefix: Prefix) {
        let content = match place {
            Place::Here(Block(block)) => self.blocks[block as usize],
            Place::Out(Slot(slot)) => self.slots[slot as usize],
        };
        let before = self.snapshots.insert(prefix, content);
        assert!(before.is_none_or(|before| before == content), "a name is that of one content");
    }

    /// Restores what a sequence that waits should have back; how many blocks.
    pub(super) fn restore(&mut self, id: SequenceId) -> usize {
        let kept = |prefix: &Prefix| self.snapshots.contains_key(prefix);
        let Some(restorable) = self.batcher.restorable(id, kept) else { return 0 };
        for (index, prefix) in restorable.prefixes.iter().enumerate() {
            let Some((moves, block)) = self.batcher.restore(id, restorable.at_hand + index, self.now) else {
                return index;
            };
            moves.iter().for_each(|step| self.make(step));
            self.blocks[block.0 as usize] = self.snapshots[prefix];
            if self.checks {
                self.check();
            }
        }
        restorable.prefixes.len()
    }

    /// Takes a plan, and makes its moves.
    pub(super) fn plan(&mut self) -> Plan {
        let plan = self.batcher.plan(self.now);
        plan.moves.iter().for_each(|step| self.make(step));
        plan
    }

    /// Computes a plan; who ended.
    pub(super) fn compute(&mut self, plan: &Plan) -> Vec<SequenceId> {
        let outcomes: Vec<_> = plan.spans.iter().filter_map(|span| self.compute_span(span)).collect();
        let took = Duration::from_secs_f64(self.truth.step(plan.load));
        self.now += took;
        for outcome in &outcomes {
            if let Some(known) = self.known.get_mut(&outcome.id) {
                known.drawn.extend(outcome.drawn.iter().map(|_| self.now));
            }
        }
        let ended = self.batcher.finish(plan, &outcomes, took, self.now);
        for end in &ended {
            self.live.retain(|live| *live != end.id);
            let known = self.known.get_mut(&end.id).expect("who ends was added");
            assert!(known.ended.replace(end.report).is_none());
        }
        if self.checks {
            self.check();
        }
        let totals = self.batcher.totals();
        if totals.places > 0 {
            self.waste.push(totals.waste());
        }
        ended.into_iter().map(|ended| ended.id).collect()
    }

    fn compute_span(&mut self, span: &Span) -> Option<Outcome> {
        let Span { id, begin, input, proposed, table, draws } = span;
        let known = self.known.get_mut(id).expect("who is planned was added");
        known.steps += 1;
        let outcome = |drawn| draws.then_some(Outcome { id: *id, drawn, ended: false });
        if !self.checks {
            return outcome(vec![0; proposed + 1]);
        }
        let tokens = self.batcher.tokens(*id).expect("who is planned is known");
        let mut all = tokens[..*begin].to_vec();
        all.extend_from_slice(input);
        let certain = all.len() - proposed;
        assert_eq!(all[*begin..certain], tokens[*begin..certain], "the input is the sequence's");
        assert_eq!(*draws, certain == tokens.len());
        assert_eq!(known.expect[..tokens.len()], *tokens, "what was drawn depends on the prompt alone");
        let states = states(known.request.namespace, &all);
        let place = |position: usize| (table[position / BLOCK_TOKENS].0 as usize, position % BLOCK_TOKENS);
        for (position, state) in states.iter().enumerate() {
            let (block, at) = place(position);
            if position >= *begin {
                self.blocks[block][at] = *state;
            }
            assert_eq!(self.blocks[block][at], *state, "position {position} of {id:?} is at hand");
        }
        let mut drawn = Vec::new();
        for (position, state) in states.iter().enumerate().skip(certain - 1) {
            drawn.push(drawn_from(*state));
            if all.get(position + 1) != drawn.last() {
                break;
            }
        }
        outcome(drawn)
    }

    /// One round; who ended.
    pub(super) fn step(&mut self) -> Vec<SequenceId> {
        let plan = self.plan();
        if plan.is_empty() { Vec::new() } else { self.compute(&plan) }
    }

    pub(super) fn run_for(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Until nobody waits or runs.
    pub(super) fn run(&mut self) {
        let mut idle = 0;
        while self.batcher.has_work() {
            let steps = self.batcher.totals().steps;
            self.step();
            idle = if self.batcher.totals().steps == steps { idle + 1 } else { 0 };
            assert!(idle < 3, "nothing is computed, and there is work: {:?}", self.batcher);
        }
    }

    /// Blocks have what the tree says, and as many references as there are who hold them.
    fn check(&self) {
        let memory = &self.batcher.memory;
        memory.tree.check();
        let mut references = vec![0; self.blocks.len()];
        for (namespace, tokens, length, place) in memory.tree.all() {
            let states = states(namespace, &tokens);
            let content = match place {
                Place::Here(Block(block)) => {
                    references[block as usize] += 1;
                    &self.blocks[block as usize]
                }
                Place::Out(Slot(slot)) => &self.slots[slot as usize],
            };
            assert_eq!(content[..length], states[tokens.len() - length..]);
        }
        for sequence in self.batcher.sequences.values() {
            assert!(sequence.table.len() * BLOCK_TOKENS >= sequence.computed);
            sequence.table.iter().for_each(|block| references[block.0 as usize] += 1);
        }
        let counted: Vec<_> =
            (0..references.len() as u32).map(|block| memory.tree.blocks.references(Block(block))).collect();
        assert_eq!(references, counted);
        let totals = self.batcher.totals();
        assert_eq!(totals.blocks_held + totals.blocks_kept + memory.tree.blocks.free(), totals.blocks);
    }

    /// All that were not cancelled came to their end, to what their prompts say, and nobody holds a block.
    pub(super) fn check_end(&self) {
        assert_eq!(self.live, []);
        let totals = self.batcher.totals();
        assert_eq!((totals.running, totals.waiting, totals.paused, totals.blocks_held), (0, 0, 0, 0));
    }
}
