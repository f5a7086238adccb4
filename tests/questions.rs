//! What the bench `recall` asks about is what it says it is. A benchmark has no tests of its own.

#[path = "benches/recall/data/mod.rs"]
#[allow(dead_code, reason = "the benchmark takes the rest")]
mod recall_data;

mod numbers {
    use super::recall_data::random::Random;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        // The generator's published sequence for the seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_shuffle_keeps_what_there_is() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(7).shuffle(&mut items);
        assert!(items.windows(2).any(|two| two[0] > two[1]));
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..100));
    }
}

mod words_in_common {
    use super::recall_data::words::shared;

    #[test]
    fn words_of_one_kin_are_the_same_and_function_words_do_not_count() {
        let check =
            |one: &str, other: &str, expect: &[&str]| assert_eq!(shared(one, other), expect, "{one:?} {other:?}");
        check("Who is the one that plays?", "He played it.", &["pla"]);
        check("What does she drink?", "The drinkers are many.", &["drink"]);
        check("Which berries?", "A berry is there.", &["berr"]);
        check("Where does the doctor reside?", "The physician lives in Bergen.", &[]);
        check("What is the name of it?", "It is what the others have of the one.", &[]);
        check("", "x", &[]);
    }
}

mod facts_of_people {
    use super::recall_data::{
        facts::{NEAR_MISSES, all, first_leak},
        words,
    };
    use std::collections::BTreeSet;

    #[test]
    fn there_are_two_hundred_whose_questions_share_no_word_with_them() {
        for seed in 0..20 {
            let facts = all(seed);
            assert!(facts.len() >= 200, "{}", facts.len());
            assert_eq!(first_leak(&facts), None, "seed {seed}");
            let questions: BTreeSet<_> = facts.iter().map(|fact| &fact.asked).collect();
            assert_eq!(questions.len(), facts.len(), "each question is asked once");
        }
    }

    #[test]
    fn a_word_in_common_is_seen() {
        let mut facts = all(1);
        facts[3].asked = format!("Where {}", facts[3].said);
        let (leak, word) = first_leak(&facts).expect("it has all words of the fact");
        assert!(leak == &facts[3] && !word.is_empty());
    }

    #[test]
    fn each_has_its_near_misses_and_no_sentence_comes_twice() {
        let facts = all(2);
        let sentences = facts.iter().flat_map(|fact| fact.near_misses.iter().chain([&fact.said]));
        let distinct: BTreeSet<_> = sentences.clone().collect();
        assert_eq!(distinct.len(), sentences.count());
        assert!(facts.iter().all(|fact| fact.near_misses.len() == NEAR_MISSES));
        // Those of other people share the relation's words, those of the same person all but those.
        for fact in &facts {
            let alike = fact.near_misses.iter().filter(|miss| words::shared(miss, &fact.said).len() >= 3);
            assert!(alike.count() >= NEAR_MISSES / 2, "{fact:?}");
        }
    }

    #[test]
    fn a_seed_says_all_of_it() {
        assert_eq!(all(5), all(5));
        assert_ne!(all(5), all(6));
    }

    #[test]
    fn nobody_else_is_of_a_profession_that_is_asked_for() {
        let facts = all(8);
        let profession = |sentence: &str| sentence.split(' ').nth(1).map(str::to_owned);
        let asked: BTreeSet<_> = facts.iter().map(|fact| profession(&fact.said)).collect();
        assert_eq!(asked.len(), 20);
        for fact in &facts {
            let (others, same) = fact.near_misses.split_at(NEAR_MISSES / 2);
            assert!(others.iter().all(|miss| !asked.contains(&profession(miss))), "{others:?}");
            assert!(same.iter().all(|miss| profession(miss) == profession(&fact.said)), "{same:?}");
        }
    }
}

mod conversations {
    use super::recall_data::{
        facts,
        talk::{Length, Speaker, Talk},
    };

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    #[test]
    fn every_fact_has_its_line_and_chatter_follows() {
        for (count, whole) in [(1, 0), (1, 2_000), (10, 8_000), (40, 32_000)] {
            let facts = facts::all(3);
            let facts = &facts[..count];
            let talk = Talk::of(9, facts, Length { whole, after: 500 }, words);
            assert!((whole..=whole + whole / 10 + 1_000).contains(&talk.tokens), "{}", talk.tokens);
            assert_eq!(talk.tokens, talk.lines.iter().map(|line| words(&line.text)).sum::<usize>());
            for (fact, place) in facts.iter().zip(&talk.places) {
                assert!(talk.lines[*place].text.ends_with(&fact.said));
                assert_eq!(talk.lines.iter().filter(|line| line.text.ends_with(&fact.said)).count(), 1);
                assert!(fact.near_misses.iter().all(|miss| talk.lines.iter().any(|line| line.text.ends_with(miss))));
            }
            let last = talk.places.iter().max().expect("there is a fact");
            let after: usize = talk.lines[last + 1..].iter().map(|line| words(&line.text)).sum();
            assert!(after >= 500, "{after}");
        }
    }

    #[test]
    fn speakers_take_turns_and_lines_are_lines() {
        let talk = Talk::of(1, &facts::all(1)[..5], Length { whole: 4_000, after: 100 }, words);
        for two in talk.lines.chunks(2) {
            assert_eq!([two[0].speaker, two[1].speaker], [Speaker::User, Speaker::Assistant]);
        }
        assert!(talk.lines.iter().all(|line| !line.text.contains('\n')));
    }

    #[test]
    fn facts_are_spread_over_it() {
        let talk = Talk::of(4, &facts::all(1)[..40], Length { whole: 32_000, after: 100 }, words);
        let half = talk.lines.len() / 2;
        let early = talk.places.iter().filter(|place| **place < half).count();
        assert!((10..=30).contains(&early), "{early}");
    }

    #[test]
    fn a_seed_says_all_of_it() {
        let of = |seed| Talk::of(seed, &facts::all(1)[..3], Length { whole: 1_000, after: 100 }, words);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}

mod nested_keys {
    use super::recall_data::keys::{Keys, NEAR_MISSES, NESTING_MAX, PAIRS, Question};
    use std::collections::BTreeMap;

    #[test]
    fn chains_of_all_lengths_lead_to_their_ends() {
        let Keys { pairs, questions } = Keys::new(1);
        let known: BTreeMap<_, _> = pairs.iter().map(|pair| (&pair.key, &pair.value)).collect();
        assert_eq!(known.len(), pairs.len(), "no key comes twice");
        let (mut used, mut of_nesting) = (0, [0; NESTING_MAX + 1]);
        for Question { key, value, nesting } in &questions {
            let (mut at, mut steps) = (key, 0);
            while let Some(next) = known.get(at) {
                (at, steps) = (next, steps + 1);
            }
            assert_eq!((at, steps), (value, nesting + 1));
            used += steps;
            of_nesting[*nesting] += 1;
        }
        assert_eq!(used, PAIRS);
        assert!(of_nesting.iter().all(|count| *count >= 9), "{of_nesting:?}");
    }

    #[test]
    fn each_key_and_each_end_has_its_near_misses() {
        let Keys { pairs, questions } = Keys::new(2);
        assert_eq!(pairs.len(), PAIRS + NEAR_MISSES * (PAIRS + questions.len()));
        let alike =
            |one: &str, other: &str| one.split('-').zip(other.split('-')).filter(|(one, other)| one == other).count();
        for question in &questions {
            for text in [&question.key, &question.value] {
                let near = pairs.iter().filter(|pair| alike(&pair.key, text) == 4).count();
                assert!(near >= NEAR_MISSES, "{text}: {near}");
            }
        }
    }

    #[test]
    fn they_are_uuids_and_a_seed_says_all_of_them() {
        let keys = Keys::new(3);
        for text in keys.pairs.iter().flat_map(|pair| [&pair.key, &pair.value]) {
            let lengths: Vec<_> = text.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{text}");
        }
        assert_eq!(keys, Keys::new(3));
        assert_ne!(keys, Keys::new(4));
    }
}
