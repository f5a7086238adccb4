//! Parameters of a generation: what a guest may say. An error names the parameter, what it was, and its range.

use remit_abi::{LlmError, OutputFormat, Params, Penalties, Sampling, limits};
use std::ops::RangeInclusive;

/// Whether a model of so many tokens can be asked for this.
///
/// # Errors
/// [`LlmError::Invalid`], with the parameter, what it was, and its range.
pub fn validate_params(params: &Params, vocabulary: u32) -> Result<(), LlmError> {
    if params.max_tokens == 0 {
        return invalid("max-tokens is 0, and a generation has at least one token".to_owned());
    }
    validate_sampling(&params.sampling)?;
    validate_penalties(&params.penalties)?;
    validate_bias(&params.logit_bias, vocabulary)?;
    validate_stops(params, vocabulary)?;
    validate_format(&params.format)?;
    match params.logprobs {
        Some(count) if count > limits::LOGPROBS_MAX => {
            invalid(format!("logprobs asks for {count} tokens beside each, and {} are the most", limits::LOGPROBS_MAX))
        }
        _ => Ok(()),
    }
}

fn validate_sampling(sampling: &Sampling) -> Result<(), LlmError> {
    within("temperature", sampling.temperature, 0.0..=limits::TEMPERATURE_MAX)?;
    share("typical-p", sampling.typical_p)?;
    share("top-p", sampling.top_p)?;
    within("min-p", sampling.min_p, 0.0..=1.0)
}

fn validate_penalties(penalties: &Penalties) -> Result<(), LlmError> {
    within("repetition", penalties.repetition, limits::REPETITION_PENALTY)?;
    within("frequency", penalties.frequency, limits::COUNT_PENALTY)?;
    within("presence", penalties.presence, limits::COUNT_PENALTY)?;
    if penalties.window > limits::PENALTY_WINDOW_MAX {
        let (window, most) = (penalties.window, limits::PENALTY_WINDOW_MAX);
        return invalid(format!("the penalties' window is {window} tokens, and {most} are the most"));
    }
    Ok(())
}

fn validate_bias(bias: &[(u32, f32)], vocabulary: u32) -> Result<(), LlmError> {
    at_most("logit-bias entries", bias.len(), limits::LOGIT_BIAS_MAX)?;
    for (token, bias) in bias {
        known("logit-bias", *token, vocabulary)?;
        within(&format!("the logit-bias of token {token}"), *bias, -limits::BIAS_MAX..=limits::BIAS_MAX)?;
    }
    let mut tokens: Vec<u32> = bias.iter().map(|(token, _)| *token).collect();
    tokens.sort_unstable();
    match tokens.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => invalid(format!("logit-bias names token {} twice: add the two up", pair[0])),
        None => Ok(()),
    }
}

fn validate_stops(params: &Params, vocabulary: u32) -> Result<(), LlmError> {
    at_most("stop strings", params.stop.len(), limits::STOP_STRINGS_MAX)?;
    let most = limits::STOP_STRING_BYTES_MAX;
    if let Some(stop) = params.stop.iter().find(|stop| stop.is_empty() || stop.len() > most) {
        return invalid(format!("a stop string has {} bytes, and must have between 1 and {most}", stop.len()));
    }
    at_most("stop-tokens", params.stop_tokens.len(), limits::STOP_TOKENS_MAX)?;
    params.stop_tokens.iter().try_for_each(|token| known("stop-tokens", *token, vocabulary))
}

/// What can be said of a format without reading it: whether it can be held to is the engine's to say.
fn validate_format(format: &OutputFormat) -> Result<(), LlmError> {
    if let OutputFormat::Choice(choices) = format {
        at_most("choices", choices.len(), limits::CHOICES_MAX)?;
    }
    match format.bytes() {
        bytes if bytes > limits::FORMAT_BYTES_MAX => {
            invalid(format!("the format holds {bytes} bytes, and {} are the most", limits::FORMAT_BYTES_MAX))
        }
        _ => Ok(()),
    }
}

fn invalid(sentence: String) -> Result<(), LlmError> {
    Err(LlmError::Invalid(sentence.into()))
}

/// What is not a number is in no range.
fn within(name: &str, value: f32, range: RangeInclusive<f32>) -> Result<(), LlmError> {
    match range.contains(&value) {
        true => Ok(()),
        false => invalid(format!("{name} is {value}, and must be between {} and {}", range.start(), range.end())),
    }
}

/// A part of a whole, and not nothing of it.
fn share(name: &str, value: f32) -> Result<(), LlmError> {
    match value > 0.0 && value <= 1.0 {
        true => Ok(()),
        false => invalid(format!("{name} is {value}, and must be above 0 and at most 1")),
    }
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), LlmError> {
    match count <= most {
        true => Ok(()),
        false => invalid(format!("there are {count} {what}, and {most} are the most")),
    }
}

fn known(name: &str, token: u32, vocabulary: u32) -> Result<(), LlmError> {
    match token < vocabulary {
        true => Ok(()),
        false => invalid(format!("{name} names token {token}, and the model's vocabulary has {vocabulary} tokens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params::greedy(1)
    }

    fn check(params: &Params, sentence: &str) {
        match validate_params(params, 50) {
            Err(LlmError::Invalid(said)) => assert!(said.contains(sentence), "{said}\n{sentence}"),
            other => panic!("{sentence}: {other:?}"),
        }
    }

    #[test]
    fn the_ends_of_every_range_are_in_it() {
        for high in [false, true] {
            let end = |low: f32, top: f32| if high { top } else { low };
            let sampling = Sampling {
                temperature: end(0.0, 100.0),
                top_k: if high { u32::MAX } else { 0 },
                typical_p: end(f32::MIN_POSITIVE, 1.0),
                top_p: end(f32::MIN_POSITIVE, 1.0),
                min_p: end(0.0, 1.0),
                seed: u64::MAX,
            };
            let penalties = Penalties {
                repetition: end(0.1, 10.0),
                frequency: end(-2.0, 2.0),
                presence: end(-2.0, 2.0),
                window: if high { limits::PENALTY_WINDOW_MAX } else { 0 },
            };
            let everything = Params {
                max_tokens: u32::MAX,
                sampling,
                penalties,
                logit_bias: vec![(0, -100.0), (49, 100.0)],
                stop: vec!["x".repeat(256).into(); 16],
                stop_tokens: vec![49; 64],
                logprobs: Some(if high { 20 } else { 0 }),
                speculation: high,
                format: OutputFormat::Choice(vec!["x".repeat(64).into(); 1024].into()),
            };
            assert_eq!(validate_params(&everything, 50), Ok(()));
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_named_with_the_range() {
        check(&Params { max_tokens: 0, ..params() }, "max-tokens is 0");
        let sampling = |sampling| Params { sampling, ..params() };
        for temperature in [-0.1, 100.5, f32::NAN, f32::INFINITY] {
            let said = format!("temperature is {temperature}, and must be between 0 and 100");
            check(&sampling(Sampling { temperature, ..Sampling::default() }), &said);
        }
        for value in [-0.5, 0.0, 1.1, f32::NAN] {
            let said = |name| format!("{name} is {value}, and must be above 0 and at most 1");
            check(&sampling(Sampling { typical_p: value, ..Sampling::default() }), &said("typical-p"));
            check(&sampling(Sampling { top_p: value, ..Sampling::default() }), &said("top-p"));
        }
        for min_p in [-0.1, 1.1, f32::NAN] {
            check(&sampling(Sampling { min_p, ..Sampling::default() }), &format!("min-p is {min_p}, and"));
        }
    }

    #[test]
    fn a_penalty_out_of_its_range_is_named_with_the_range() {
        let penalties = |penalties| Params { penalties, ..params() };
        for repetition in [0.0, -1.0, 10.1, f32::NAN] {
            let said = format!("repetition is {repetition}, and must be between 0.1 and 10");
            check(&penalties(Penalties { repetition, ..Penalties::default() }), &said);
        }
        for value in [-2.1, 2.1, f32::NAN, f32::NEG_INFINITY] {
            let said = |name| format!("{name} is {value}, and must be between -2 and 2");
            check(&penalties(Penalties { frequency: value, ..Penalties::default() }), &said("frequency"));
            check(&penalties(Penalties { presence: value, ..Penalties::default() }), &said("presence"));
        }
        check(&penalties(Penalties { window: 8193, ..Penalties::default() }), "window is 8193 tokens, and 8192 are");
    }

    #[test]
    fn a_bias_is_for_a_token_of_the_vocabulary_once() {
        let bias = |logit_bias: &[(u32, f32)]| Params { logit_bias: logit_bias.to_vec(), ..params() };
        check(&bias(&[(3, 1.0), (50, 1.0)]), "logit-bias names token 50, and the model's vocabulary has 50 tokens");
        for value in [-100.5, 101.0, f32::NAN, f32::INFINITY] {
            check(
                &bias(&[(3, value)]),
                &format!("the logit-bias of token 3 is {value}, and must be between -100 and 100"),
            );
        }
        check(&bias(&[(3, 1.0), (2, 1.0), (3, -1.0)]), "logit-bias names token 3 twice");
        check(&bias(&[(3, 1.0); 1025]), "there are 1025 logit-bias entries, and 1024 are the most");
    }

    #[test]
    fn a_format_is_bounded() {
        let format = |format| Params { format, ..params() };
        let long = |bytes| Box::<str>::from("x".repeat(bytes));
        for format_of in [OutputFormat::JsonSchema, OutputFormat::Regex, OutputFormat::Grammar] {
            assert_eq!(validate_params(&format(format_of(long(65_536))), 50), Ok(()));
            check(&format(format_of(long(65_537))), "the format holds 65537 bytes, and 65536 are the most");
        }
        let choices = |choices: Vec<Box<str>>| format(OutputFormat::Choice(choices.into()));
        check(&choices(vec!["x".into(); 1025]), "there are 1025 choices, and 1024 are the most");
        check(&choices(vec![long(40_000); 2]), "the format holds 80000 bytes, and 65536 are the most");
    }

    #[test]
    fn stops_and_logprobs_are_bounded() {
        let stop = |stop: Vec<Box<str>>| Params { stop, ..params() };
        check(&stop(vec!["".into()]), "a stop string has 0 bytes");
        check(&stop(vec!["x".repeat(257).into()]), "a stop string has 257 bytes, and must have between 1 and 256");
        check(&stop(vec!["x".into(); 17]), "there are 17 stop strings, and 16 are the most");
        let tokens = |stop_tokens| Params { stop_tokens, ..params() };
        check(&tokens(vec![1; 65]), "there are 65 stop-tokens, and 64 are the most");
        check(
            &tokens(vec![1, u32::MAX]),
            "stop-tokens names token 4294967295, and the model's vocabulary has 50 tokens",
        );
        check(
            &Params { logprobs: Some(21), ..params() },
            "logprobs asks for 21 tokens beside each, and 20 are the most",
        );
    }
}
