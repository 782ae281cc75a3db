//! The tensor kernels of checkpoint merging: one method a file, over inputs of any size that are never held decoded
//! (except for singular vectors, which need whole matrices).
//!
//! A kernel is a plain struct with its parameters and a `merge` that takes a [`Group`] (the inputs of one output tensor)
//! and an [`Output`] (its type and where its bytes go). Arithmetic is f32, sums over tensors are f64, and results are
//! rounded once. Results do not depend on the thread count.

mod arithmetic;
mod bits;
mod dense;
mod fusion;
mod gram;
mod group;
mod isotropic;
mod linear;
mod nearswap;
mod ram;
mod rank;
mod sce;
mod select;
#[cfg(test)]
mod singular_tests;
mod sparsify;
mod spherical;
mod stock;
mod tall_mask;
mod task_singular;
#[cfg(test)]
mod tests;
mod vector_math;
mod write;

pub use arithmetic::TaskArithmetic;
pub use fusion::ArceeFusion;
pub(crate) use group::vectorized;
pub use group::{Chunk, Combine, Group, Output, Sink};
pub use isotropic::{IsoC, IsoCts};
pub use linear::{Linear, Passthrough};
pub use nearswap::Nearswap;
pub use ram::{Ram, RamPlus};
pub use sce::Sce;
pub(crate) use select::{Cut, Keys, Rank, Request, cuts};
pub use sparsify::Sparsify;
pub use spherical::{Karcher, MultiSlerp, Nuslerp, Slerp};
pub use stock::ModelStock;
pub use tall_mask::{Active, TallMask};
pub use task_singular::TsvM;
