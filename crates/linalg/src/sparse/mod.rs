//! Sparse matrices in compressed rows, on faer's `SparseRowMat`.
//!
//! Indices are 32 bits wide: products with sparse matrices are as fast as memory brings entries, and a third of an entry of
//! 64-bit indices would be zeros.
//!
//! ```
//! use consilience_linalg::operator::LinearOperator;
//! use consilience_linalg::sparse::{self, SparseOperator};
//!
//! // Poisson's equation on a grid of 3 × 2 inner points.
//! let matrix = sparse::laplacian_2d(3, 2)?;
//! let a = SparseOperator::new("A", matrix.as_ref())?;
//! let mut y = [0.0; 6];
//! a.apply(&[1.0; 6], &mut y);
//! assert_eq!(y, [2.0, 1.0, 2.0, 2.0, 1.0, 2.0]);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod build;
mod operator;
mod triangles;

pub use build::{Triplets, csr, laplacian_2d};
pub use operator::SparseOperator;
pub use triangles::{Triangle, Triangles};

/// A sparse matrix in compressed rows.
pub type Csr = faer::sparse::SparseRowMat<u32, f64>;

/// A view of one.
pub type CsrRef<'a> = faer::sparse::SparseRowMatRef<'a, u32, f64>;
