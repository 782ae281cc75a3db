//! Rotary position embeddings (Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021): pairs of
//! entries of queries and keys are turned by angles that grow with the position, so that scores depend on distances.

use std::f64::consts::TAU;

use burn::tensor::{Device, Tensor, TensorData};
use consilience_core::Result;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ModelConfig;

/// What `config.json` says of rotary embeddings, under `rope_parameters` or `rope_scaling`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RopeSection {
    rope_type: Option<String>,
    // The older name of the same; some files have both.
    #[serde(rename = "type")]
    older_type: Option<String>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    // Each kind of layer with parameters of its own.
    full_attention: Option<IgnoredAny>,
    sliding_attention: Option<IgnoredAny>,
}

/// The keys of `config.json` that rotary embeddings are made from: all spellings that have been in use.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RopeKeys {
    rope_parameters: Option<RopeSection>,
    rope_scaling: Option<RopeSection>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    max_position_embeddings: Option<f64>,
}

/// The angle for each pair of entries at position 1; at position `p` it is `p` times that.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rotary {
    frequencies: Vec<f32>,
}

impl Rotary {
    /// The embeddings that `keys` ask for, for heads of an even `width`.
    ///
    /// Kinds: `default`, `linear` (all angles divided by `factor`) and `llama3` (those of long wavelengths alone). Fails with
    /// [`Error::Format`](consilience_core::Error::Format) on another kind, naming it, or on values out of range.
    pub(super) fn new(keys: &RopeKeys, width: usize, config: &ModelConfig<'_>) -> Result<Self> {
        let (name, section) = match (&keys.rope_scaling, &keys.rope_parameters) {
            (Some(section), _) => ("rope_scaling", section.clone()),
            (None, Some(section)) => ("rope_parameters", section.clone()),
            (None, None) => ("rope_parameters", RopeSection::default()),
        };
        if section.full_attention.is_some() || section.sliding_attention.is_some() {
            return Err(config.wrong(name, "given for each kind of layer", "the same for all layers"));
        }
        let number = |key: &str, value: Option<f64>, default: Option<f64>| match value.or(default) {
            Some(value) if value > 0.0 && value.is_finite() => Ok(value),
            Some(value) => Err(config.wrong(&format!("{name}.{key}"), value, "a finite number above 0")),
            None => Err(config.wrong(&format!("{name}.{key}"), "nothing", "a number above 0")),
        };
        let partial = section.partial_rotary_factor.or(keys.partial_rotary_factor).unwrap_or(1.0);
        if partial != 1.0 {
            return Err(config.wrong("partial_rotary_factor", partial, "1, or none: the whole head is turned"));
        }
        let theta = number("rope_theta", section.rope_theta.or(keys.rope_theta), Some(10_000.0))?;
        let base = (0..width / 2).map(|pair| theta.powf(-2.0 * pair as f64 / width as f64));
        let frequencies: Vec<f64> =
            match section.rope_type.as_ref().or(section.older_type.as_ref()).map_or("default", String::as_str) {
                "default" => base.collect(),
                "linear" => {
                    let factor = number("factor", section.factor, None)?;
                    base.map(|frequency| frequency / factor).collect()
                }
                "llama3" => {
                    let factor = number("factor", section.factor, None)?;
                    let low = number("low_freq_factor", section.low_freq_factor, None)?;
                    let high = number("high_freq_factor", section.high_freq_factor, None)?;
                    if high <= low {
                        let wanted = format!("more than `low_freq_factor`, {low}");
                        return Err(config.wrong(&format!("{name}.high_freq_factor"), high, wanted));
                    }
                    let (trained, fallback) = (section.original_max_position_embeddings, keys.max_position_embeddings);
                    let trained = number("original_max_position_embeddings", trained, fallback)?;
                    base.map(|frequency| {
                        // How many turns fit into the length trained on: under `low` of them the angle is divided, over `high`
                        // it is kept, in between it is mixed.
                        let turns = trained * frequency / TAU;
                        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                        frequency * (kept + (1.0 - kept) / factor)
                    })
                    .collect()
                }
                other => {
                    let wanted = "`default`, `linear` or `llama3`: other kinds of scaling are not supported";
                    return Err(config.wrong(&format!("{name}.rope_type"), format!("`{other}`"), wanted));
                }
            };
        Ok(Self { frequencies: frequencies.into_iter().map(|frequency| frequency as f32).collect() })
    }

    /// The turns for positions `0..positions`. Cost: a sine and a cosine for each position and pair.
    pub(super) fn turns(&self, positions: usize, device: &Device) -> Turns {
        let shape = [1, 1, positions, self.frequencies.len()];
        // In f32, as the models were trained: for a late position the rounding of its angle is visible in the scores.
        let angles = (0..positions).flat_map(|at| self.frequencies.iter().map(move |frequency| at as f32 * frequency));
        let (mut cos, mut sin) = (Vec::with_capacity(shape[2] * shape[3]), Vec::with_capacity(shape[2] * shape[3]));
        for angle in angles {
            cos.push(angle.cos());
            sin.push(angle.sin());
        }
        let placed = |values| Tensor::from_data(TensorData::new(values, shape), device);
        Turns { cos: placed(cos), sin: placed(sin) }
    }
}

/// Cosines and sines of the angles, `[1, 1, positions, width / 2]`.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Turns {
    /// `x` (`[batch, heads, positions, width]`) with entries `i` and `i + width / 2` turned as a pair.
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let (a, b) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let first = a.clone() * self.cos.clone() - b.clone() * self.sin.clone();
        Tensor::cat(vec![first, b * self.cos.clone() + a * self.sin.clone()], 3)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rotary(config: Value, width: usize) -> Result<Rotary> {
        let folder = tempfile::tempdir().unwrap();
        let keys = serde_json::from_value(config.clone()).unwrap();
        Rotary::new(&keys, width, &ModelConfig::over(&folder.path().join("config.json"), &config))
    }

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_turn_keeps_lengths_and_scores_depend_on_distances_alone() {
        let device = Device::flex();
        let rotary = rotary(json!({"rope_theta": 100.0}), 4).unwrap();
        let turns = rotary.turns(6, &device);
        // The same query and the same key at all six positions.
        let query = Tensor::<4>::from_floats([[[[0.3, -1.2, 0.8, 0.5]]]], &device).repeat_dim(2, 6);
        let key = Tensor::<4>::from_floats([[[[1.1, 0.4, -0.6, 0.9]]]], &device).repeat_dim(2, 6);
        let (turned_query, turned_key) = (turns.apply(query.clone()), turns.apply(key));
        for length in values((turned_query.clone() * turned_query.clone()).sum_dim(3)) {
            assert!((length - (0.09 + 1.44 + 0.64 + 0.25)).abs() < 1e-5);
        }
        let scores = values(turned_query.clone().matmul(turned_key.swap_dims(2, 3)));
        let score = |query: usize, key: usize| scores[query * 6 + key];
        for shift in 1..3 {
            assert!((score(3, 1) - score(3 + shift, 1 + shift)).abs() < 1e-5);
            assert!((score(0, 2) - score(shift, 2 + shift)).abs() < 1e-5);
        }
        assert!((score(3, 1) - score(1, 3)).abs() > 1e-2, "the direction matters");
        assert_eq!(values(turned_query)[..4], values(query)[..4], "position 0 is not turned");
    }

    #[test]
    fn frequencies_of_each_kind() {
        let close = |found: &Rotary, wanted: &[f32]| {
            assert_eq!(found.frequencies.len(), wanted.len());
            let near = found.frequencies.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
            assert!(near, "{:?} is not {wanted:?}", found.frequencies);
        };
        close(&rotary(json!({}), 4).unwrap(), &[1.0, 0.01]);
        close(&rotary(json!({"rope_scaling": {"type": "linear", "factor": 4.0}}), 4).unwrap(), &[0.25, 0.0025]);
        let both =
            json!({"rope_parameters": {"rope_type": "linear", "type": "linear", "factor": 2, "rope_theta": 100.0}});
        close(&rotary(both, 4).unwrap(), &[0.5, 0.05]);
        // With 20 pi positions trained on, frequencies 1, 0.2 and 0.04 make 10, 2 and 0.4 turns: kept, mixed (a third of the
        // way from 1 turn to 4) and divided.
        let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 62.831_853_071_795_86, "rope_theta": 125.0});
        let mixed = 0.2 * (1.0 / 3.0 + 2.0 / 3.0 / 8.0);
        close(&rotary(json!({"rope_parameters": scaling}), 6).unwrap(), &[1.0, mixed, 0.04 / 8.0]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let fault = |config| rotary(config, 4).unwrap_err().to_string();
        let yarn = fault(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}));
        assert!(
            yarn.contains("config.json: `rope_scaling.rope_type` is `yarn`, wanted `default`, `linear` or"),
            "{yarn}"
        );
        let none = fault(json!({"rope_parameters": {"rope_type": "linear"}}));
        assert!(none.contains("`rope_parameters.factor` is nothing, wanted a number above 0"), "{none}");
        let nested = fault(json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}));
        assert!(nested.contains("`rope_parameters` is given for each kind of layer"), "{nested}");
        let partial = fault(json!({"partial_rotary_factor": 0.5}));
        assert!(partial.contains("`partial_rotary_factor` is 0.5, wanted 1"), "{partial}");
        let theta = fault(json!({"rope_theta": -1.0}));
        assert!(theta.contains("`rope_parameters.rope_theta` is -1, wanted a finite number above 0"), "{theta}");
    }
}
