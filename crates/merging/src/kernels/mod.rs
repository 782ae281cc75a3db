//! Kernels.
#![allow(missing_docs)]
mod arithmetic;
mod fusion;
mod nearswap;
mod ram;
mod rank;
mod sce;
mod bits;
mod gram;
mod group;
mod linear;
mod select;
mod sparsify;
mod spherical;
mod stock;
pub use arithmetic::TaskArithmetic;
pub use group::{Group, Output, Sink};
pub use linear::{Linear, Passthrough};
pub use sparsify::Sparsify;
pub use spherical::{Karcher, MultiSlerp, Nuslerp, Slerp};
pub use fusion::ArceeFusion;
pub use nearswap::Nearswap;
pub use ram::{Ram, RamPlus};
pub use sce::Sce;
pub use stock::ModelStock;
