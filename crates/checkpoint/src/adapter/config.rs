//! `adapter_config.json`: what PEFT's LoRA settings mean for the merged weights, and which of them are refused.

use std::path::Path;

use consilience_core::{Error, Result};
use regex::Regex;
use serde_json::{Map, Value};

use crate::unique::{NoTwice, shown};

/// The longest configuration that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Settings that say how the adapter was trained or what it was put on, and nothing about what its tensors mean.
///
/// `target_modules` and its kin choose modules: here the tensors of the file say which modules have factors. `bias` says
/// which biases were saved; they are found by their names.
const WITHOUT_EFFECT: [&str; 25] = [
    "alora_invocation_string",
    "auto_mapping",
    "base_model_name_or_path",
    "base_model_class",
    "bias",
    "corda_config",
    "ephemeral_gpu_offload",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "parent_library",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "velora_config",
];

/// Settings that are read below.
const READ: [&str; 11] = [
    "alpha_pattern",
    "ensure_weight_tying",
    "fan_in_fan_out",
    "lora_alpha",
    "lora_bias",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "use_dora",
    "use_rslora",
];

/// Settings that change what the factors mean in ways that are not implemented, with what they are.
const REFUSED: [(&str, &str); 10] = [
    ("alora_invocation_tokens", "an activated LoRA works on some tokens only, so it cannot be merged"),
    ("arrow_config", "Arrow routes each token to another adapter, so it cannot be merged"),
    ("kasa_config", "KaSA changes the base weights and puts a diagonal between the factors"),
    ("layer_replication", "the adapter is for a model whose layers were repeated"),
    ("megatron_config", "the factors are split as Megatron splits its layers"),
    ("monteclora_config", "MonteCLoRA samples its factors"),
    ("target_parameters", "the factors are for parameters (experts of a mixture) instead of modules"),
    ("trainable_token_indices", "single tokens' embeddings were trained beside the factors"),
    ("use_bdlora", "the factors are blocks of block-diagonal matrices"),
    ("use_qalora", "QA-LoRA pools the inputs of a quantised model"),
];

/// What `init_lora_weights` may say where the base model's weights were left as they are.
const BASE_UNCHANGED: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// What the settings say about the weights.
#[derive(Debug)]
pub(crate) struct LoraConfig {
    /// All of them, as they stand in the file.
    pub settings: Map<String, Value>,
    rank: usize,
    alpha: f64,
    ranks: Vec<Pattern<usize>>,
    alphas: Vec<Pattern<f64>>,
    /// Divide alpha by the root of the rank instead of the rank (rank-stabilised LoRA).
    rank_stabilized: bool,
    /// Whether the layers store their weights as `[in, out]`; PEFT saves what held for the last of them.
    pub fan_in_fan_out: bool,
    /// Whether the rows were normalised and scaled (weight-decomposed LoRA).
    pub dora: bool,
    /// Whether the second factor has a bias.
    pub bias: bool,
    /// Modules that were trained whole.
    pub modules_to_save: Vec<String>,
    /// Whether the head was given the same change as the embeddings that it is tied to.
    pub tying: bool,
}

/// A value for the modules whose names end in something.
#[derive(Debug)]
struct Pattern<T> {
    ending: Regex,
    value: T,
}

impl LoraConfig {
    /// Reads the configuration at `path`.
    ///
    /// Errors: no JSON object or a setting that stands twice; all settings at once that are missing, malformed or refused.
    pub fn read(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(|e| Error::io("cannot open", path, e))?;
        if !size.is_file() || size.len() > MAX_BYTES {
            return Err(Error::format(path, format!("wanted a file of at most {MAX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
        let NoTwice(value) = serde_json::from_str(&text).map_err(|e| Error::format(path, format!("no JSON: {e}")))?;
        let Value::Object(settings) = value else { return Err(Error::format(path, "wanted a JSON object")) };
        let mut reader = Reader { path, settings: &settings, faults: Vec::new() };
        match settings.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            Some(other) => return Err(other_kind(path, other)),
            None => {
                return Err(Error::format(path, "there is no `peft_type`, so this is no adapter of PEFT's")
                    .with_help("only LoRA adapters as `PeftModel.save_pretrained` writes them are read"));
            }
        }
        reader.refuse();
        let mut config = Self {
            settings: Map::new(),
            rank: reader.rank("r", settings.get("r")).unwrap_or(8),
            alpha: reader.number("lora_alpha", settings.get("lora_alpha")).unwrap_or(8.0),
            ranks: reader.patterns("rank_pattern", Reader::rank),
            alphas: reader.patterns("alpha_pattern", Reader::number),
            rank_stabilized: reader.flag("use_rslora"),
            fan_in_fan_out: reader.flag("fan_in_fan_out"),
            dora: reader.flag("use_dora"),
            bias: reader.flag("lora_bias"),
            modules_to_save: reader.names("modules_to_save"),
            tying: reader.flag("ensure_weight_tying"),
        };
        Error::all(reader.faults)?;
        config.settings = settings;
        Ok(config)
    }

    /// The rank of the factors of `module` (its name within the model): that of the first pattern that fits, else `r`.
    pub fn rank_of(&self, module: &str) -> usize {
        first(&self.ranks, module).unwrap_or(self.rank)
    }

    /// What the product of the factors of `module` is multiplied by: alpha over the rank, or over its root.
    pub fn scale_of(&self, module: &str) -> f64 {
        let alpha = first(&self.alphas, module).unwrap_or(self.alpha);
        let rank = self.rank_of(module) as f64;
        alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }

    /// Whether `module` is one of the modules that were trained whole, or lies in one.
    pub fn saves(&self, module: &str) -> bool {
        let ends = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
        ends.map(|end| &module[..end])
            .any(|part| self.modules_to_save.iter().any(|saved| part.ends_with(saved.as_str())))
    }
}

fn first<T: Copy>(patterns: &[Pattern<T>], module: &str) -> Option<T> {
    patterns.iter().find(|pattern| pattern.ending.is_match(module)).map(|pattern| pattern.value)
}

fn other_kind(path: &Path, kind: &str) -> Error {
    Error::format(path, format!("the adapter's `peft_type` is `{}`, and only LORA can be merged", shown(kind)))
        .with_help("merge it with PEFT's `merge_and_unload` where it has that, and name the merged model")
}

struct Reader<'s> {
    path: &'s Path,
    settings: &'s Map<String, Value>,
    faults: Vec<Error>,
}

impl Reader<'_> {
    fn fault(&mut self, problem: String, help: &str) {
        self.faults.push(Error::format(self.path, problem).with_help(help));
    }

    /// Refuses what would change the weights and is not known here.
    fn refuse(&mut self) {
        const HELP: &str =
            "merge the adapter with PEFT's `merge_and_unload` where it can be, and name the merged model";
        for (name, value) in self.settings {
            let name = name.as_str();
            if !sets_anything(value) || READ.contains(&name) || WITHOUT_EFFECT.contains(&name) {
                continue;
            }
            match REFUSED.iter().find(|(refused, _)| *refused == name) {
                Some((_, why)) => self.fault(format!("`{name}` is not supported: {why}"), HELP),
                None => self.fault(
                    format!("the setting `{}` is not known, so the adapter's weights could mean anything", shown(name)),
                    HELP,
                ),
            }
        }
        match self.settings.get("init_lora_weights") {
            None | Some(Value::Bool(_) | Value::Null) => {}
            Some(Value::String(name)) if BASE_UNCHANGED.contains(&name.as_str()) => {}
            Some(other) => self.fault(
                format!(
                    "`init_lora_weights` is {}: the base model's own weights were changed before training, so the \
                     factors alone do not give the trained model",
                    shown(&other.to_string())
                ),
                "save it with `save_pretrained(…, path_initial_model_for_weight_conversion=…)`, which makes an ordinary \
                 LoRA adapter of it",
            ),
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.settings.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            Some(other) => {
                self.fault(format!("`{name}` is {}, wanted true or false", shown(&other.to_string())), "mend the file");
                false
            }
        }
    }

    fn rank(&mut self, name: &str, value: Option<&Value>) -> Option<usize> {
        let value = value?;
        let rank = value.as_u64().and_then(|rank| usize::try_from(rank).ok()).filter(|rank| *rank > 0);
        if rank.is_none() {
            let problem = format!("`{}` is {}, wanted a whole number above 0", shown(name), shown(&value.to_string()));
            self.fault(problem, "mend the file");
        }
        rank
    }

    fn number(&mut self, name: &str, value: Option<&Value>) -> Option<f64> {
        let value = value?;
        let number = value.as_f64().filter(|number| number.is_finite());
        if number.is_none() {
            self.fault(format!("`{}` is {}, wanted a number", shown(name), shown(&value.to_string())), "mend the file");
        }
        number
    }

    /// A pattern fits a module whose name it is, or whose name ends in it after a dot; the first that fits counts.
    fn patterns<T>(&mut self, name: &str, read: fn(&mut Self, &str, Option<&Value>) -> Option<T>) -> Vec<Pattern<T>> {
        let entries = match self.settings.get(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Object(entries)) => entries,
            Some(other) => {
                let problem =
                    format!("`{name}` is {}, wanted an object from modules to numbers", shown(&other.to_string()));
                self.fault(problem, "mend the file");
                return Vec::new();
            }
        };
        let mut patterns = Vec::new();
        for (key, value) in entries {
            let value = read(self, &format!("{name}: {key}"), Some(value));
            match (Regex::new(&format!(r"^(.*\.)?({key})$")), value) {
                (Ok(ending), Some(value)) => patterns.push(Pattern { ending, value }),
                (Err(_), _) => self.fault(
                    format!("`{name}`: `{}` is no regular expression that can be read here", shown(key)),
                    "write the modules' names out; look-around and back-references are not supported",
                ),
                (Ok(_), None) => {}
            }
        }
        patterns
    }

    fn names(&mut self, name: &str) -> Vec<String> {
        match self.settings.get(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list))
                if list.iter().all(|entry| entry.as_str().is_some_and(|name| !name.is_empty())) =>
            {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(other) => {
                let problem = format!("`{name}` is {}, wanted a list of names", shown(&other.to_string()));
                self.fault(problem, "mend the file");
                Vec::new()
            }
        }
    }
}

/// Whether a setting is anything but absent, off or empty.
fn sets_anything(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Number(_) => true,
    }
}
