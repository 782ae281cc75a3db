//! The image encoder of CLIP (Radford et al., "Learning transferable visual models from natural language supervision",
//! 2021): a vision transformer, normalised before each part, whose class token is projected into the space of the texts.

use std::fmt;

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, Linear};
use burn::tensor::{Device, Tensor};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Result, Samples};
use serde::Deserialize;

use super::layers::{attend, layer_norm, linear, split_heads};
use super::{Family, HiddenAct, ModelConfig, Place};
use crate::backbones::{check_shape, outputs_of, patches};
use crate::heads::normalise_rows;
use crate::tap::linear_at_positions;
use crate::{Classifier, Tap, Tapped, Untapped};

/// `vision_config` of a CLIP model. Defaults are those of ViT-B/32.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
    /// The width of a token. Default: 768.
    pub hidden_size: usize,
    /// The width inside a layer's perceptron. Default: 3072.
    pub intermediate_size: usize,
    /// Layers. Default: 12.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`. Default: 12.
    pub num_attention_heads: usize,
    /// Channels of an image. Default: 3.
    pub num_channels: usize,
    /// Height and width of an image. Default: 224.
    pub image_size: usize,
    /// Height and width of a patch; divides `image_size`. Default: 32.
    pub patch_size: usize,
    /// The width of the image features where there is a projection. Default: 512.
    pub projection_dim: usize,
    /// The activation. Default: quick GELU.
    pub hidden_act: HiddenAct,
    /// What layer normalisations add to the variance. Default: 1e-5.
    pub layer_norm_eps: f64,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            projection_dim: 512,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

/// The image encoder of CLIP: images `[batch, channels, image_size, image_size]`, resized and standardised as the model
/// asks for, to features.
///
/// Its outputs are the projected features, of length 1. A checkpoint without `visual_projection` (`CLIPVisionModel`) gives
/// the normalised class token as it is, and its projection belongs to the head
/// ([`ClassEmbeddings`](super::ClassEmbeddings)).
///
/// With `n` tokens (`(image_size / patch_size)^2 + 1`), width `d`, inner width `h` and `l` layers, a forward takes about
/// `l n (8 d^2 + 4 d h + 4 n d)` floating-point operations an image: 8.6e9 for ViT-B/32. At any time it holds a few
/// tensors of `n max(h, 4 d)` numbers an image; a backward keeps them all, about `l n (14 d + 3 h + 2 n heads)`.
#[derive(Module, Debug)]
pub struct ClipVision {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Linear,
    position_embedding: Param<Tensor<2>>,
    pre_norm: LayerNorm,
    layers: Vec<ClipLayer>,
    post_norm: LayerNorm,
    projection: Option<Linear>,
    patch: usize,
    image: [usize; 3],
}

/// Attention and a perceptron, each after a layer normalisation and beside a shortcut.
#[derive(Module, Debug)]
pub struct ClipLayer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    norm2: LayerNorm,
    hidden: Linear,
    back: Linear,
    heads: usize,
    #[module(skip)]
    act: HiddenAct,
}

impl ClipVision {
    /// The network of a configuration that has been checked; `projection` is the width of the features.
    fn new(config: &ClipVisionConfig, projection: Option<usize>, device: &Device) -> Self {
        let (width, side) = (config.hidden_size, config.patch_size);
        let tokens = (config.image_size / side).pow(2) + 1;
        let norm = || layer_norm(width, config.layer_norm_eps, device);
        let square = || linear(width, width, true, device);
        let layer = || ClipLayer {
            norm1: norm(),
            query: square(),
            key: square(),
            value: square(),
            attended: square(),
            norm2: norm(),
            hidden: linear(width, config.intermediate_size, true, device),
            back: linear(config.intermediate_size, width, true, device),
            heads: config.num_attention_heads,
            act: config.hidden_act,
        };
        Self {
            class_embedding: Initializer::Zeros.init([width], device),
            patch_embedding: linear(config.num_channels * side * side, width, false, device),
            position_embedding: Initializer::Zeros.init([tokens, width], device),
            pre_norm: norm(),
            layers: (0..config.num_hidden_layers).map(|_| layer()).collect(),
            post_norm: norm(),
            projection: projection.map(|features| linear(width, features, false, device)),
            patch: side,
            image: [config.num_channels, config.image_size, config.image_size],
        }
    }

    /// Channels, height and width of an image.
    pub fn image(&self) -> [usize; 3] {
        self.image
    }
}

impl ClipLayer {
    fn forward(&self, x: Tensor<3>, path: fmt::Arguments<'_>, tap: &mut dyn Tap) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        let mut heads = |name: &str, layer: &Linear| {
            split_heads(linear_at_positions(tap, format_args!("{path}.{name}"), layer, normed.clone()), self.heads)
        };
        let (query, key, value) = (heads("query", &self.query), heads("key", &self.key), heads("value", &self.value));
        let [_, _, _, width] = query.dims();
        let mixed = attend(query, key, value, (width as f64).powf(-0.5), None);
        let x = x + linear_at_positions(tap, format_args!("{path}.attended"), &self.attended, mixed);
        let normed = self.norm2.forward(x.clone());
        let inner = linear_at_positions(tap, format_args!("{path}.hidden"), &self.hidden, normed);
        x + linear_at_positions(tap, format_args!("{path}.back"), &self.back, self.act.forward(inner))
    }
}

impl Classifier for ClipVision {
    type Input = Tensor<4>;

    fn logits(&self, input: Tensor<4>) -> Tensor<2> {
        self.logits_tapped(input, &mut Untapped)
    }

    fn check_example(&self, shape: &[usize]) -> Result<()> {
        check_shape(shape, &self.image)
    }
}

impl Tapped for ClipVision {
    fn logits_tapped(&self, input: Tensor<4>, tap: &mut dyn Tap) -> Tensor<2> {
        let patches = patches(input, self.patch);
        let patches = linear_at_positions(tap, format_args!("patch_embedding"), &self.patch_embedding, patches);
        let [batch, _, width] = patches.dims();
        let class = self.class_embedding.val().reshape([1, 1, width]).expand([batch, 1, width]);
        let tokens = Tensor::cat(vec![class, patches], 1) + self.position_embedding.val().unsqueeze_dim(0);
        let mut x = self.pre_norm.forward(tokens);
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, format_args!("layers.{i}"), tap);
        }
        let class = self.post_norm.forward(x.narrow(1, 0, 1).reshape([batch, width]));
        match &self.projection {
            Some(projection) => normalise_rows(tap.linear(format_args!("projection"), projection, class)),
            None => class,
        }
    }

    fn outputs(&self) -> usize {
        match &self.projection {
            Some(projection) => outputs_of(projection),
            None => outputs_of(&self.patch_embedding),
        }
    }
}

/// The projection into the space of the texts, under the names that it may have.
pub(super) const PROJECTION: [&str; 2] = ["visual_projection.weight", "clip.visual_projection.weight"];

impl Family for ClipVision {
    const PREFIXES: &'static [&'static str] = &["vision_model.", "clip.vision_model.", ""];

    fn of_config(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let whole = ModelConfig::of(checkpoint)?;
        let is_clip = whole.model_type()? == "clip";
        let section = if is_clip { vision_section(&whole)? } else { whole.clone() };
        let config: ClipVisionConfig = section.parse()?;
        section.layers("num_hidden_layers", config.num_hidden_layers)?;
        section.positive(&[
            ("hidden_size", config.hidden_size),
            ("intermediate_size", config.intermediate_size),
            ("num_channels", config.num_channels),
            ("image_size", config.image_size),
            ("patch_size", config.patch_size),
        ])?;
        let heads = ("num_attention_heads", config.num_attention_heads);
        section.divides(heads, ("hidden_size", config.hidden_size))?;
        section.divides(("patch_size", config.patch_size), ("image_size", config.image_size))?;
        let projected = PROJECTION.iter().any(|name| checkpoint.describe(name).is_some());
        let projection = match (projected, is_clip) {
            (false, _) => None,
            (true, false) => Some(config.projection_dim),
            (true, true) => Some(whole.parse::<Projection>()?.projection_dim),
        };
        whole.positive(projection.map(|width| ("projection_dim", width)).as_slice())?;
        Ok(Self::new(&config, projection, device))
    }

    fn place(&self, path: &str) -> Place {
        let [channels, ..] = self.image;
        match path.split('.').collect::<Vec<_>>().as_slice() {
            ["class_embedding"] => Place::plain("embeddings.class_embedding"),
            ["patch_embedding", _] => {
                let kernel = [outputs_of(&self.patch_embedding), channels, self.patch, self.patch];
                Place::kernel("embeddings.patch_embedding.weight", kernel)
            }
            ["position_embedding"] => Place::plain("embeddings.position_embedding.weight"),
            // The name is misspelt in every checkpoint.
            ["pre_norm", leaf] => Place::of_layer("pre_layrnorm", leaf),
            ["post_norm", leaf] => Place::of_layer("post_layernorm", leaf),
            ["layers", i, part, leaf] => Place::of_layer(format_args!("encoder.layers.{i}.{}", stored(part)), leaf),
            // An expert that was saved as `CLIPVisionModel` was trained under the base's projection.
            _ => Place::linear(PROJECTION[0]).or(PROJECTION[1]).rooted().inherited(),
        }
    }

    fn check_samples(&self, samples: &Samples) -> Result<()> {
        self.check_example(samples.shape())
    }
}

/// What checkpoints call a part of a layer.
fn stored(part: &str) -> &str {
    match part {
        "norm1" => "layer_norm1",
        "norm2" => "layer_norm2",
        "query" => "self_attn.q_proj",
        "key" => "self_attn.k_proj",
        "value" => "self_attn.v_proj",
        "attended" => "self_attn.out_proj",
        "hidden" => "mlp.fc1",
        _ => "mlp.fc2",
    }
}

/// The vision side of a whole model's configuration. Old files have it twice, and then the second one counts.
fn vision_section<'c>(whole: &ModelConfig<'c>) -> Result<ModelConfig<'c>> {
    match whole.has_section("vision_config_dict") {
        true => whole.section("vision_config_dict"),
        false => whole.section("vision_config"),
    }
}

/// What of a whole model's configuration the image features depend on.
#[derive(Deserialize)]
#[serde(default)]
struct Projection {
    projection_dim: usize,
}

impl Default for Projection {
    fn default() -> Self {
        Self { projection_dim: 512 }
    }
}
