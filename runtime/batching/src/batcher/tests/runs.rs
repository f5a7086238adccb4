//! What runs come to.

use super::machine::{Machine, request, request_of, words};
use crate::{Config, Fair, Fifo, Refusal, RoundRobin, Swap};
use std::time::Duration;

fn machine(blocks: usize) -> Machine {
    Machine::new(Config::new(blocks), Fifo)
}

#[test]
fn one_sequence() {
    let mut machine = machine(64);
    let id = machine.add(request(words(1, 100), 20)).expect("it fits");
    machine.run();
    machine.check_end();
    let known = &machine.known[&id];
    let report = known.ended.expect("it ended");
    // The prompt in one chunk, and each token but the first with the one before it.
    assert_eq!((known.steps, report.computed, report.drawn), (20, 119, 20));
    assert_eq!((report.cached, report.recomputed, report.preemptions), (0, 0, 0));
    assert_eq!(report.prefill + report.decode + report.queued, machine.now);
}

#[test]
fn what_can_never_fit_is_refused() {
    let mut machine = machine(4);
    let mut check = |prompt, output, expect| {
        assert_eq!(machine.add(request(words(1, prompt), output)).map(|_| ()), expect);
    };
    check(0, 5, Err(Refusal::Empty));
    check(5, 0, Err(Refusal::Empty));
    check(60, 5, Err(Refusal::NeverFits { tokens: 65, tokens_max: 64 }));
    check(60, usize::MAX, Err(Refusal::NeverFits { tokens: usize::MAX, tokens_max: 64 }));
    check(60, 4, Ok(()));
    machine.run();
    machine.check_end();
}

#[test]
fn the_queue_is_bounded() {
    let mut machine = Machine::new(Config { waiting_max: 2, ..Config::new(8) }, Fifo);
    let mut add = || machine.add(request(words(1, 5), 5)).map(|_| ());
    assert_eq!([add(), add(), add()], [Ok(()), Ok(()), Err(Refusal::QueueFull { waiting: 2 })]);
    machine.run();
    machine.check_end();
}

#[test]
fn a_prompt_that_is_at_hand_draws_in_the_first_step() {
    for length in [33, 40, 47, 48, 49, 64, 600] {
        let mut machine = machine(128);
        machine.add(request(words(1, length), 1)).expect("it fits");
        machine.run();
        let other = machine.add(request(words(1, length), 3)).expect("it fits");
        machine.step();
        assert_eq!(machine.known[&other].drawn.len(), 1, "{length}");
        machine.run();
        let report = machine.known[&other].ended.expect("it ended");
        assert_eq!((report.cached, report.computed), (length - 1, 3));
        machine.check_end();
    }
}

#[test]
fn a_conversation_goes_on_from_its_last_token() {
    let mut machine = machine(128);
    let first = machine.add(request(words(1, 50), 30)).expect("it fits");
    machine.run();
    let mut prompt = machine.known[&first].tokens().to_vec();
    prompt.extend(words(2, 21));
    let next = machine.add(request(prompt, 5)).expect("it fits");
    machine.run();
    // The last token of the first output was never computed.
    assert_eq!(machine.known[&next].ended.expect("it ended").cached, 79);
}

#[test]
fn siblings_that_arrive_together_compute_their_prompt_once() {
    let mut machine = machine(512);
    for sibling in 0..16 {
        let mut prompt = words(1, 600);
        prompt.extend(words(2 + sibling, 20));
        machine.add(request_of(1, u64::from(sibling), prompt, 10)).expect("it fits");
    }
    machine.run();
    machine.check_end();
    let totals = machine.batcher.totals();
    // 600 once, and the rest of a block with what is each one's own.
    assert!(totals.prefill_rows < 600 + 16 * 36, "{totals:?}");
    assert_eq!(totals.preemptions, 0);
}

#[test]
fn namespaces_share_nothing() {
    let mut machine = machine(128);
    for tenant in 0..3 {
        let id = machine.add(request_of(tenant, 1, words(1, 100), 5)).expect("it fits");
        machine.run();
        assert_eq!(machine.known[&id].ended.expect("it ended").cached, 0);
    }
}

#[test]
fn long_sequences_waste_little() {
    let mut machine = machine(1024);
    for seed in 0..16 {
        machine.add(request(words(seed, 600), 100)).expect("it fits");
    }
    machine.run();
    let worst = machine.waste.iter().skip(100).copied().fold(0.0, f64::max);
    assert!(worst < 0.04, "{worst}");
}

#[test]
fn a_step_takes_its_decodes_and_a_chunk() {
    let mut machine = Machine::new(Config::new(2048), Fair::new());
    for seed in 0..8 {
        machine.add(request(words(seed, 20), 300)).expect("it fits");
    }
    machine.run_for(20);
    for seed in 8..16 {
        machine.add(request(words(seed, 1000), 1)).expect("it fits");
    }
    let speed = Config::new(1).speed;
    let block = speed.added(crate::Load::span(1000, 16, true));
    let mut shared = 0;
    while machine.batcher.has_work() {
        let plan = machine.plan();
        let decodes = crate::Load { prefill: 0, read: 0, ..plan.load };
        if decodes.decode > 0 {
            let read = decodes.decode * 321;
            let most = speed.step(crate::Load { read, ..decodes }) + block.max(0.010);
            assert!(plan.predicted.as_secs_f64() <= most, "{plan:?}");
            shared += usize::from(plan.load.prefill > 0);
        }
        machine.compute(&plan);
    }
    // Nobody waits for prompts, and prompts do not wait for anybody.
    assert!(shared > 200, "{shared}");
}

#[test]
fn who_is_cancelled_gives_all_back() {
    let mut machine = machine(64);
    let ids: Vec<_> = (0..4).map(|seed| machine.add(request(words(seed, 100), 50)).expect("it fits")).collect();
    machine.run_for(6);
    machine.cancel(ids[1]);
    let plan = machine.plan();
    machine.cancel(ids[2]);
    machine.compute(&plan);
    machine.cancel(ids[3]);
    machine.run();
    machine.check_end();
    assert_eq!(machine.batcher.totals().cancelled, 3);
}

#[test]
fn who_is_paused_goes_on_where_it_was() {
    let mut machine = machine(64);
    let [one, other] = [1, 2].map(|seed| machine.add(request(words(seed, 100), 20)).expect("it fits"));
    machine.run_for(5);
    machine.batcher.pause(one, machine.now);
    let drawn = machine.known[&one].drawn.len();
    machine.run();
    assert_eq!(machine.known[&one].drawn.len(), drawn);
    assert!(machine.known[&other].ended.is_some());
    machine.batcher.resume(one, machine.now);
    machine.run();
    machine.check_end();
    assert_eq!(machine.known[&one].ended.expect("it ended").recomputed, 0);
}

#[test]
fn after_a_loss_all_go_on() {
    let mut machine = machine(64);
    for seed in 0..4 {
        machine.add(request(words(seed, 60), 20)).expect("it fits");
    }
    machine.run_for(8);
    let plan = machine.plan();
    machine.batcher.lost(machine.now);
    assert!(machine.batcher.finish(&plan, &[], Duration::from_millis(1), machine.now).is_empty());
    machine.run();
    machine.check_end();
    assert!(machine.known.values().all(|known| known.ended.is_some_and(|report| report.recomputed > 0)));
}

#[test]
fn suspects_have_steps_of_their_own_and_others_every_second() {
    let mut machine = machine(64);
    let ids: Vec<_> = (0..5).map(|seed| machine.add(request(words(seed, 20), 30)).expect("it fits")).collect();
    machine.run_for(6);
    machine.batcher.set_alone(ids[1], true);
    machine.batcher.set_alone(ids[3], true);
    let mut steps = Vec::new();
    for _ in 0..6 {
        let plan = machine.plan();
        steps.push(plan.spans.iter().map(|span| span.id).collect::<Vec<_>>());
        machine.compute(&plan);
    }
    let others = vec![ids[0], ids[2], ids[4]];
    let expect = [vec![ids[1]], others.clone(), vec![ids[3]], others.clone(), vec![ids[1]], others];
    assert_eq!(steps, expect);
    machine.run();
    machine.check_end();
}

#[test]
fn what_is_proposed_comes_in_fewer_steps() {
    let mut machine = machine(64);
    let id = machine.add(request(words(1, 30), 40)).expect("it fits");
    while machine.known[&id].ended.is_none() {
        machine.propose(id, 4, false);
        machine.step();
    }
    let known = &machine.known[&id];
    let report = known.ended.expect("it ended");
    // The first from the prompt, then five a step.
    assert_eq!((known.steps, report.drawn, report.recomputed), (1 + 8, 40, 0));
    assert_eq!(report.proposed, report.accepted);
    machine.check_end();
}

#[test]
fn blocks_go_out_no_more_once_that_is_known_to_be_slow() {
    let swap = Some(Swap { slots: 64, block_time: Duration::from_millis(1) });
    let mut machine = Machine::new(Config { swap, ..Config::new(16) }, Fifo);
    let out = |machine: &mut Machine, seed| {
        let before = machine.batcher.totals().swapped_out;
        machine.add(request(words(seed, 200), 4)).expect("it fits");
        machine.run();
        machine.batcher.totals().swapped_out - before
    };
    assert_eq!(out(&mut machine, 1), 0);
    assert!(out(&mut machine, 2) > 0);
    let step = crate::Move::Out(crate::Block(0), crate::Slot(0));
    (0..20).for_each(|_| machine.batcher.moved(&step, Duration::from_secs(1)));
    assert_eq!(out(&mut machine, 3), 0);
    machine.batcher.lost(machine.now);
    out(&mut machine, 4);
    assert_eq!(out(&mut machine, 5), 0);
    (0..40).for_each(|_| machine.batcher.moved(&step, Duration::from_micros(10)));
    assert!(out(&mut machine, 6) > 0);
}

#[test]
fn blocks_go_out_where_that_is_cheaper() {
    let check = |block_time, expect_cached| {
        let swap = Some(Swap { slots: 64, block_time });
        let mut machine = Machine::new(Config { swap, ..Config::new(16) }, Fifo);
        for seed in [1, 2] {
            machine.add(request(words(seed, 200), 5)).expect("it fits");
            machine.run();
        }
        let again = machine.add(request(words(1, 200), 5)).expect("it fits");
        machine.run();
        machine.check_end();
        assert_eq!(machine.known[&again].ended.expect("it ended").cached > 150, expect_cached);
        assert_eq!(machine.batcher.totals().swapped_in > 0, expect_cached);
    };
    check(Duration::from_micros(100), true);
    check(Duration::from_secs(1), false);
}

#[test]
fn the_lowest_gives_way_and_the_oldest_ends() {
    let mut machine = Machine::new(Config::new(12), Fifo);
    for seed in 0..4 {
        machine.add(request(words(seed, 20), 150)).expect("it fits");
    }
    machine.run();
    machine.check_end();
    assert!(machine.batcher.totals().preemptions > 0);
    let ends: Vec<_> = machine.known.values().map(|known| *known.drawn.last().expect("it drew")).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    assert_eq!(machine.known.values().next().and_then(|known| known.ended).map(|report| report.preemptions), Some(0));
}

/// Whether a program's tokens are still at hand after as many blocks as there are were used by others, at which time of what was
/// predicted.
fn is_kept(think_times: &[u64], said: Option<u64>, after: u64) -> bool {
    let mut machine = machine(40);
    let mut prompt = words(1, 160);
    let mut turn = |machine: &mut Machine| {
        let id = machine.add(request_of(1, 1, prompt.clone(), 4)).expect("it fits");
        machine.run();
        prompt = machine.known[&id].tokens().to_vec();
        prompt.extend(words(9, 8));
        machine.known[&id].ended.expect("it ended").cached
    };
    turn(&mut machine);
    for seconds in think_times {
        machine.now += Duration::from_secs(*seconds);
        turn(&mut machine);
    }
    if let Some(seconds) = said {
        machine.batcher.keep(1, 1, Duration::from_secs(seconds), machine.now);
    }
    // Each half a minute others come, of which two fit beside it.
    let back = machine.now + Duration::from_secs(after);
    let mut other = 100;
    while machine.now + Duration::from_secs(30) < back {
        machine.now += Duration::from_secs(30);
        machine.add(request_of(2, other, words(other as u32, 200), 1)).expect("it fits");
        other += 1;
        machine.run();
    }
    machine.now = back;
    turn(&mut machine) > 100
}

#[test]
fn what_a_program_has_is_kept_for_its_think_time() {
    // Nobody knows when it comes back.
    assert!(is_kept(&[], None, 60));
    assert!(!is_kept(&[], None, 240));
    // It is known to come back late, or it was said.
    assert!(is_kept(&[240, 240, 240], None, 240));
    assert!(is_kept(&[], Some(240), 240));
    // It is long overdue.
    assert!(!is_kept(&[], Some(240), 1_200));
}

#[test]
fn a_round_has_a_turn_for_each() {
    let mut machine = Machine::new(Config { chunk_rows: 16, ..Config::new(256) }, RoundRobin::default());
    let ids: Vec<_> = (0..4).map(|seed| machine.add(request(words(seed, 160), 1)).expect("it fits")).collect();
    let mut turns = Vec::new();
    for _ in 0..8 {
        let plan = machine.plan();
        turns.extend(plan.spans.iter().map(|span| span.id));
        machine.compute(&plan);
    }
    assert_eq!(turns, [ids.clone(), ids].concat());
    machine.run();
    machine.check_end();
}

#[test]
fn a_finish_without_a_token_computes_the_last_one_again() {
    let mut machine = machine(64);
    let id = machine.add(request(words(1, 40), 3)).expect("it fits");
    let plan = machine.plan();
    assert!(plan.spans[0].draws);
    assert!(machine.batcher.plan(machine.now).is_empty());
    assert!(machine.batcher.finish(&plan, &[], Duration::from_millis(9), machine.now).is_empty());
    assert_eq!(machine.batcher.computed(id), Some(39));
}
