//! LoRA adapters as PEFT writes them: read, checked, and laid over a model.
//!
//! An adapter is a folder with `adapter_config.json` and `adapter_model.safetensors`. For each module that it changes it
//! holds two factors, `A` (`[rank, in]`) and `B` (`[out, rank]`), and the module's weight `W` becomes `W + scale · B A` (Hu
//! et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021, equation 3). [`Adapter::apply`] gives a
//! [`Checkpoint`] whose tensors are that sum, computed when they are read.

mod apply;
mod config;
mod factors;
mod keys;
mod orientation;
mod product;
mod spec;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};

pub use apply::{Applied, AppliedModule};
use config::LoraConfig;
use factors::Factor;
use keys::Role;
pub use orientation::stores_transposed;

use crate::folder::{ADAPTER, ADAPTER_WEIGHTS};
use crate::unique::shown;
use crate::{Checkpoint, TensorView, natural_cmp};

/// A LoRA adapter that was read and found whole.
///
/// Supported: ranks and alphas by pattern, rank-stabilised scaling, linear layers stored either way round
/// (`fan_in_fan_out`), embeddings, convolutions without groups, biases of the second factor, saved biases, modules that
/// were trained whole, and weight-decomposed adapters (Liu et al., "DoRA", 2024, equation 5). Everything else is refused by
/// the name of its setting; a tensor that belongs to nothing is a fault.
#[derive(Debug)]
pub struct Adapter {
    path: PathBuf,
    config: LoraConfig,
    /// By the module's name, in natural order.
    modules: Vec<LowRank>,
    /// Tensors that take the place of the model's, by their names.
    whole: Vec<(String, Factor)>,
    /// Copies of the model's own tensors that lie beside them.
    originals: Vec<String>,
}

/// What an adapter holds for one module.
#[derive(Debug)]
pub(crate) struct LowRank {
    /// The module's name in the model that was trained.
    module: String,
    /// Whether it is an embedding, whose weight lies transposed: a row a token.
    embedding: bool,
    /// `A`: `[rank, in]`, for a convolution `[rank, in, kernel …]`.
    a: Factor,
    /// `B`: `[out, rank]`, for a convolution `[out, rank, 1 …]`.
    b: Factor,
    /// The bias of `B`.
    bias: Option<Factor>,
    /// The rows' norms of a weight-decomposed adapter.
    magnitude: Option<Factor>,
    rank: usize,
    scale: f64,
}

/// The factors of one module, as [`Adapter::modules`] gives them.
#[derive(Clone, Copy, Debug)]
pub struct LoraModule<'a> {
    /// The module's name in the model that was trained, for example `model.layers.0.self_attn.q_proj`.
    pub name: &'a str,
    /// Whether it is an embedding: its factors are `lora_embedding_A` and `lora_embedding_B`.
    pub embedding: bool,
    /// `A`: `[rank, in]`, for a convolution `[rank, in, kernel …]`.
    pub a: TensorView<'a>,
    /// `B`: `[out, rank]`, for a convolution `[out, rank, 1 …]`.
    pub b: TensorView<'a>,
    /// The bias of `B`, `[out]`.
    pub bias: Option<TensorView<'a>>,
    /// What the product `B A` (and the bias of `B`) is multiplied by.
    pub scale: f64,
}

impl Adapter {
    /// Reads the adapter in the folder `path`. Time: its weights are read once, for NaN; memory: its names.
    ///
    /// Errors: settings that are refused (other kinds than LoRA, settings that change what factors mean); factors that are
    /// missing, of another shape or rank than the configuration says, not finite or no floating-point numbers; tensors that
    /// belong to nothing. Pickled weights are never read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (settings, weights) = (path.join(ADAPTER), path.join(ADAPTER_WEIGHTS));
        if !path.is_dir() || !settings.is_file() {
            let problem = format!("this is no adapter: wanted a folder with `{ADAPTER}`");
            return Err(Error::format(path, problem).with_help("name a folder that `PeftModel.save_pretrained` wrote"));
        }
        if !weights.is_file() {
            let pickled = path.join("adapter_model.bin").is_file();
            let help = match pickled {
                true => {
                    "its weights are pickled (`adapter_model.bin`), and pickles can run code: load the adapter with PEFT \
                         where you trust it, and save it with `save_pretrained`"
                }
                false => "copy or download the missing file",
            };
            return Err(Error::format(path, format!("the adapter's `{ADAPTER_WEIGHTS}` is missing")).with_help(help));
        }
        let config = LoraConfig::read(&settings)?;
        let factors = Factor::all(&weights)?;
        Grouped::of(factors, &weights)?.into_adapter(path, config)
    }

    /// The folder that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The modules that have factors, in natural order.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = LoraModule<'_>> {
        self.modules.iter().map(|low| LoraModule {
            name: &low.module,
            embedding: low.embedding,
            a: low.a.view(),
            b: low.b.view(),
            bias: low.bias.as_ref().map(Factor::view),
            scale: low.scale,
        })
    }

    /// The settings of its `adapter_config.json`.
    pub fn settings(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.config.settings
    }

    /// Whether it is weight-decomposed (DoRA): what it adds then depends on the model.
    pub fn is_weight_decomposed(&self) -> bool {
        self.config.dora
    }

    /// The tensors that take the place of the model's (`modules_to_save`, saved biases, saved embeddings), by their names in
    /// the model that was trained, in natural order.
    pub fn whole_tensors(&self) -> impl ExactSizeIterator<Item = (&str, TensorView<'_>)> {
        self.whole.iter().map(|(name, factor)| (name.as_str(), factor.view()))
    }

    /// Lays the adapter over `model`: from now on its tensors are `W + scale · B A`, computed in f32 each time that they are
    /// read, in parallel. Declared types stay; what only the adapter has is added. Several adapters may be applied one after
    /// the other.
    ///
    /// Where the model ties its head to its embeddings and the adapter changes only one of the two, or each in its own way,
    /// they are stored apart from then on, which is what was trained. (PEFT's `merge_and_unload` changes both.)
    ///
    /// Memory for each tensor while it is read: its values in f32, and those of the factors. Time: `2 · rank` operations an
    /// element.
    ///
    /// Errors: modules that the model does not have, shapes that do not fit, weights that are no floating-point numbers: all
    /// of them together, and the model is as it was.
    pub fn apply(&self, model: &mut Checkpoint) -> Result<Applied> {
        apply::apply(self, model)
    }
}

/// The tensors of an adapter's file by what they belong to.
#[derive(Default)]
struct Grouped {
    modules: BTreeMap<String, BTreeMap<Role, Factor>>,
    whole: Vec<(String, Factor)>,
    originals: Vec<String>,
}

impl Grouped {
    fn of(factors: Vec<Factor>, weights: &Path) -> Result<Self> {
        let mut grouped = Self::default();
        let mut faults = Vec::new();
        let mut adapter: Option<String> = None;
        for factor in factors {
            let key = match keys::parse(&factor.name) {
                Ok(key) => key,
                Err(problem) => {
                    faults.push(factor.fault(problem));
                    continue;
                }
            };
            match (&adapter, key.adapter) {
                (Some(known), Some(other)) if *known != other => {
                    let problem = format!("it belongs to `{}`, and others to `{}`", shown(&other), shown(known));
                    faults.push(factor.fault(problem + ": the file holds several adapters"));
                    continue;
                }
                (None, name) => adapter = name,
                _ => {}
            }
            match key.role {
                Role::Original => grouped.originals.push(key.target),
                Role::Whole => match grouped.whole.iter().find(|(target, _)| *target == key.target) {
                    Some((_, other)) => {
                        faults.push(factor.fault(format!("`{}` is for the same parameter", shown(&other.name))));
                    }
                    None => grouped.whole.push((key.target, factor)),
                },
                role => {
                    let name = shown(&factor.name);
                    if let Some(other) = grouped.modules.entry(key.target).or_default().insert(role, factor) {
                        faults.push(other.fault(format!("`{name}` is for the same factor")));
                    }
                }
            }
        }
        if grouped.modules.is_empty() && grouped.whole.is_empty() && faults.is_empty() {
            faults.push(Error::format(weights, "there are no tensors in it"));
        }
        grouped.whole.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
        Error::all(faults).map(|()| grouped)
    }

    fn into_adapter(self, path: &Path, config: LoraConfig) -> Result<Adapter> {
        let mut faults = Vec::new();
        let mut modules = Vec::with_capacity(self.modules.len());
        for (module, parts) in self.modules {
            match LowRank::new(module, parts, &config) {
                Ok(low) => modules.push(low),
                Err(fault) => faults.push(fault),
            }
        }
        modules.sort_by(|a, b| natural_cmp(&a.module, &b.module));
        let is_saved = |saved: &str| self.whole.iter().any(|(target, _)| target.contains(saved));
        for saved in config.modules_to_save.iter().filter(|saved| !is_saved(saved)) {
            let problem = format!("`modules_to_save` names `{}`, and the file holds no tensor of it", shown(saved));
            faults
                .push(Error::format(path.join(ADAPTER), problem).with_help("the adapter is not whole: save it again"));
        }
        Error::all(faults)?;
        Ok(Adapter { path: path.to_owned(), config, modules, whole: self.whole, originals: self.originals })
    }
}

impl LowRank {
    /// The factors of `module`, checked against each other and against the configuration.
    fn new(module: String, mut parts: BTreeMap<Role, Factor>, config: &LoraConfig) -> Result<Self> {
        let embedding = parts.contains_key(&Role::EmbeddingA) || parts.contains_key(&Role::EmbeddingB);
        let (first, second) = if embedding { (Role::EmbeddingA, Role::EmbeddingB) } else { (Role::A, Role::B) };
        let (a, b) = (parts.remove(&first), parts.remove(&second));
        let (bias, magnitude) = (parts.remove(&Role::BiasOfB), parts.remove(&Role::Magnitude));
        let any = [&a, &b, &bias, &magnitude].into_iter().flatten().chain(parts.values()).next().cloned();
        let (Some(a), Some(b)) = (a, b) else {
            let problem = "the other factor of its module is missing";
            return Err(any.map_or_else(|| Error::data(module, problem), |factor| factor.fault(problem)));
        };
        if let Some(odd) = parts.values().next() {
            return Err(odd.fault("its module has factors of an embedding and of a linear layer"));
        }
        let rank = config.rank_of(&module);
        let (a_shape, b_shape) = (a.shape(), b.shape());
        let kernel = b_shape.get(2..).unwrap_or_default();
        let fits = a_shape.len() >= 2
            && a_shape.len() == b_shape.len()
            && (!embedding || a_shape.len() == 2)
            && kernel.iter().all(|extent| *extent == 1)
            && a_shape.iter().chain(b_shape).all(|extent| *extent > 0);
        if !fits || a_shape[0] != b_shape[1] {
            let problem = format!("the factors' shapes {a_shape:?} and {b_shape:?} do not go together");
            return Err(a.fault(problem));
        }
        if a_shape[0] != rank {
            let problem = format!("its rank is {}, and `{ADAPTER}` says {rank} for its module", a_shape[0]);
            return Err(a.fault(problem));
        }
        let out = b_shape[0];
        match (&bias, config.bias && !embedding) {
            (Some(bias), true) if bias.shape() != [out] => {
                return Err(bias.fault(format!("its shape is {:?}, wanted [{out}]", bias.shape())));
            }
            (Some(bias), false) => return Err(bias.fault(format!("`lora_bias` is not set in `{ADAPTER}`"))),
            (None, true) => return Err(b.fault("`lora_bias` is set, and its bias is missing")),
            _ => {}
        }
        match (&magnitude, config.dora) {
            (Some(magnitude), true) if magnitude.view().len() != out => {
                return Err(magnitude.fault(format!("its shape is {:?}, wanted {out} values", magnitude.shape())));
            }
            (Some(magnitude), false) => return Err(magnitude.fault(format!("`use_dora` is not set in `{ADAPTER}`"))),
            (None, true) => return Err(b.fault("`use_dora` is set, and `lora_magnitude_vector` is missing")),
            _ => {}
        }
        let scale = config.scale_of(&module);
        Ok(Self { module, embedding, a, b, bias, magnitude, rank, scale })
    }
}
