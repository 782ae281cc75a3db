//! What Consilience's methods share about networks, over [Burn](https://burn.dev): parameters as named flat vectors, losses
//! as functions of them, task vectors, gradients of single samples, backbones, heads and a training loop.
//!
//! The device is chosen at run time: `Device::flex()` is Burn's processor backend, `.autodiff()` on it makes what is built
//! there differentiable. The functions of this crate place tensors on the autodiff device themselves where they
//! differentiate, so a module built on a plain device will do.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use consilience_nn::{Classifier, Parameters, value_and_gradient, mean_entropy};
//! # use burn::{module::Module, nn::{Linear, LinearConfig}};
//! # #[derive(Module, Debug)]
//! # struct Net { layer: Linear }
//! # impl Classifier for Net {
//! #     type Input = Tensor<2>;
//! #     fn logits(&self, input: Tensor<2>) -> Tensor<2> { self.layer.forward(input) }
//! # }
//! # let device = Device::flex();
//! # let net = Net { layer: LinearConfig::new(3, 2).init(&device) };
//! let input = Tensor::<2>::from_floats([[1.0, 0.0, -1.0]], &device);
//! let theta = Parameters::of(&net)?;
//! assert_eq!(theta.layout().names()[0], "layer.weight");
//! let (entropy, gradient) = value_and_gradient(&net, &theta, |net| mean_entropy(net.logits(input)))?;
//! assert!(entropy > 0.0 && gradient.tensor("layer.weight").is_some());
//! # Ok::<(), consilience_core::Error>(())
//! ```

pub mod backbones;
mod batch;
mod evaluation;
mod functional;
mod heads;
pub mod initial;
mod layout;
mod parameters;
mod per_sample;
pub mod pretrained;
mod rebuild;
mod safetensors_file;
mod tap;
mod training;

pub use batch::Batch;
pub use evaluation::{Logits, accuracy, batch_of, logits};
pub use functional::{Classifier, mean_entropy, value_and_gradient, with_delta, with_deltas};
pub use heads::{FrozenHead, Head, LinearHead, Network, normalise_rows};
pub use layout::{Kind, Layout};
pub use parameters::Parameters;
pub use per_sample::{diagonal_fisher, diagonal_fisher_of_linear, per_sample_gradients};
pub use safetensors_file::{load_safetensors, save_safetensors};
pub use tap::{LinearInputs, Tap, Tapped, Untapped, Within};
pub use training::{Length, Optimizer, Schedule, Trained, Training, cross_entropy};
