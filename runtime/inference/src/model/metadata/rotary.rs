//! The rotary embedding, as either format describes it.

use super::json;
use crate::{
    gguf::{Gguf, optional},
    model::{
        ModelError,
        architecture::{CONTEXT_MAX, WIDTH_MAX},
        rope::{Rope, Scaling},
        tensors::Tensors,
    },
};
use serde_json::{Map, Value};

/// Where a file says nothing of the base.
const BASE_DEFAULT: f64 = 10_000.0;
/// YaRN's own limits, where a file says nothing.
const YARN_FAST: f64 = 32.0;
const YARN_SLOW: f64 = 1.0;

/// YaRN's magnitude for a factor, section 3.4.
fn yarn_magnitude(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 }
}

/// LongRoPE's magnitude for how much longer texts get than the original context.
fn long_magnitude(factor: f64, original: usize) -> f64 {
    if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original.max(2) as f64).ln()).sqrt() }
}

/// The keys of a GGUF file that belong to the rotary embedding.
struct Keys<'a> {
    file: &'a Gguf,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.rope.{key}", self.architecture)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        Ok(optional(self.file.get_f32(&self.name(key)))?.map(f64::from))
    }

    fn original(&self) -> Result<usize, ModelError> {
        Ok(self.file.get_u32(&self.name("scaling.original_context_length"))? as usize)
    }
}

/// That of a GGUF file, of heads of which `width` is turned. Where it has a tensor of divisors, that is the scaling.
pub(super) fn of_gguf(
    file: &Gguf,
    architecture: &str,
    tensors: &dyn Tensors,
    width: usize,
) -> Result<Rope, ModelError> {
    let keys = Keys { file, architecture };
    if keys.number("scale_linear")?.is_some() {
        return Err(ModelError::variant(format!("the metadata key {}", keys.name("scale_linear"))));
    }
    let base = keys.number("freq_base")?.unwrap_or(BASE_DEFAULT);
    let kind = optional(file.get_str(&keys.name("scaling.type")))?;
    if let Some(short) = divisors(tensors, "rope_factors_short.weight", width / 2)? {
        let long = divisors(tensors, "rope_factors_long.weight", width / 2)?;
        let long = long.ok_or_else(|| ModelError::variant("rotary divisors for short texts alone"))?;
        let magnitude = keys.number("scaling.attn_factor")?.unwrap_or(1.0);
        return Ok(Rope { base, scaling: Scaling::Long { short, long, original: keys.original()?, magnitude } });
    }
    if let Some(divisors) = divisors(tensors, "rope_freqs.weight", width / 2)? {
        return match kind {
            None | Some("none" | "llama3") => Ok(Rope { base, scaling: Scaling::Divisors(divisors) }),
            Some(kind) => Err(ModelError::variant(format!("the rotary scaling {kind} beside rope_freqs.weight"))),
        };
    }
    let factor = keys.number("scaling.factor")?;
    let scaling = match (kind, factor) {
        (Some("none"), _) | (None | Some("linear"), None) => Scaling::None,
        (None | Some("linear"), Some(factor)) => Scaling::Linear { factor },
        (Some("yarn"), factor) => {
            let factor = factor.ok_or_else(|| ModelError::NoKey { key: keys.name("scaling.factor") })?;
            Scaling::Yarn {
                factor,
                slow: keys.number("scaling.yarn_beta_slow")?.unwrap_or(YARN_SLOW),
                fast: keys.number("scaling.yarn_beta_fast")?.unwrap_or(YARN_FAST),
                original: keys.original()?,
                magnitude: yarn_magnitude(factor) * keys.number("scaling.attn_factor")?.unwrap_or(1.0),
            }
        }
        (Some(kind), _) => return Err(ModelError::variant(format!("the rotary scaling {kind}"))),
    };
    Ok(Rope { base, scaling })
}

/// The numbers of a tensor of divisors, where there is one; it must have so many.
fn divisors(tensors: &dyn Tensors, name: &str, count: usize) -> Result<Option<Vec<f32>>, ModelError> {
    let Some(found) = tensors.shape_if(name)? else { return Ok(None) };
    if found != [count] {
        return Err(ModelError::Shape { name: name.to_owned(), found, wanted: vec![count] });
    }
    let mut numbers = Vec::with_capacity(count);
    tensors.read(name, &mut numbers)?;
    Ok(Some(numbers))
}

/// The rotary parameters of a `config.json`, and the whole of it.
struct Parameters<'a> {
    own: &'a Map<String, Value>,
    config: &'a Map<String, Value>,
}

impl Parameters<'_> {
    fn number(&self, name: &str) -> Result<f64, ModelError> {
        let value = self.number_if(name)?;
        value.ok_or_else(|| ModelError::NoKey { key: name.to_owned() })
    }

    fn number_if(&self, name: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = json(self.own, name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| ModelError::metadata(format!("the rotary {name} is no number")))
    }

    /// A list of numbers; the file has each of them, so that it bounds the list.
    fn numbers(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let values = json(self.own, name).ok_or_else(|| ModelError::NoKey { key: name.to_owned() })?;
        let wrong = || ModelError::metadata(format!("the rotary {name} is no list of numbers"));
        let values = values.as_array().filter(|values| values.len() <= WIDTH_MAX).ok_or_else(wrong)?;
        values.iter().map(|value| value.as_f64().map(|value| value as f32).ok_or_else(wrong)).collect()
    }

    /// The context that the model was first trained for: some say it outside of the rotary parameters, and that counts.
    fn original(&self) -> Result<usize, ModelError> {
        let name = "original_max_position_embeddings";
        let value = json(self.config, name).or_else(|| json(self.own, name));
        let value = value.or_else(|| json(self.config, "max_position_embeddings"));
        let value = value.ok_or_else(|| ModelError::NoKey { key: name.to_owned() })?;
        let tokens = value.as_u64().filter(|tokens| *tokens <= CONTEXT_MAX as u64);
        // It fits: it is at most a usize.
        tokens.map(|tokens| tokens as usize).ok_or_else(|| ModelError::metadata(format!("{name} is no token count")))
    }

    fn yarn(&self) -> Result<Scaling, ModelError> {
        if let Some(name) = ["mscale", "mscale_all_dim"].into_iter().find(|name| json(self.own, name).is_some()) {
            return Err(ModelError::variant(format!("the rotary parameter {name}")));
        }
        if json(self.own, "truncate") == Some(&Value::Bool(false)) {
            return Err(ModelError::variant("yarn whose range is not made whole"));
        }
        let factor = self.number("factor")?;
        Ok(Scaling::Yarn {
            factor,
            slow: self.number_if("beta_slow")?.unwrap_or(YARN_SLOW),
            fast: self.number_if("beta_fast")?.unwrap_or(YARN_FAST),
            original: self.original()?,
            magnitude: self.number_if("attention_factor")?.unwrap_or_else(|| yarn_magnitude(factor)),
        })
    }

    fn long(&self) -> Result<Scaling, ModelError> {
        let original = self.original()?;
        let reach = json(self.config, "max_position_embeddings").and_then(Value::as_u64).unwrap_or(0);
        let factor = self.number_if("factor")?.unwrap_or(reach as f64 / original.max(1) as f64);
        let magnitude = self.number_if("attention_factor")?.unwrap_or_else(|| long_magnitude(factor, original));
        Ok(Scaling::Long {
            short: self.numbers("short_factor")?,
            long: self.numbers("long_factor")?,
            original,
            magnitude,
        })
    }
}

/// That of a `config.json`: `rope_theta` and `rope_scaling`, or since `transformers` 5 `rope_parameters` with both in it,
/// where they may be given for each kind of layer.
pub(super) fn of_json(config: &Map<String, Value>, kind: &str) -> Result<Rope, ModelError> {
    let empty = Map::new();
    let object = |value: &'_ Value| match value {
        Value::Object(_) => Ok(()),
        _ => Err(ModelError::metadata("the rotary parameters are no object")),
    };
    let mut own = &empty;
    if let Some(value) = json(config, "rope_parameters").or_else(|| json(config, "rope_scaling")) {
        object(value)?;
        let nested = value.get(kind).filter(|nested| !nested.is_null()).unwrap_or(value);
        object(nested)?;
        own = nested.as_object().unwrap_or(&empty);
    }
    let parameters = Parameters { own, config };
    let base = match parameters.number_if("rope_theta")? {
        Some(base) => base,
        None => match json(config, "rope_theta") {
            Some(value) => value.as_f64().ok_or_else(|| ModelError::metadata("rope_theta is no number"))?,
            None => BASE_DEFAULT,
        },
    };
    let name = json(own, "rope_type").or_else(|| json(own, "type"));
    let name = name.map_or(Some("default"), Value::as_str);
    let scaling = match name.ok_or_else(|| ModelError::metadata("the rotary rope_type is no string"))? {
        "default" => Scaling::None,
        "linear" => Scaling::Linear { factor: parameters.number("factor")? },
        "llama3" => Scaling::Llama3 {
            factor: parameters.number("factor")?,
            slow: parameters.number("low_freq_factor")?,
            fast: parameters.number("high_freq_factor")?,
            original: parameters.original()?,
        },
        "yarn" => parameters.yarn()?,
        "longrope" | "su" => parameters.long()?,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(ModelError::variant(format!("the rotary scaling {other}")));
        }
    };
    Ok(Rope { base, scaling })
}
