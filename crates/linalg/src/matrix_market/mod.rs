//! Matrix Market files (Boisvert, Pozo, Remington, "The Matrix Market exchange formats", NISTIR 5935, 1996), as SciPy, MATLAB
//! and the SuiteSparse collection write them.
//!
//! The reader is here so that both formats are read (coordinate for matrices, array for right-hand sides), a fault names its
//! line, every number is checked, and no memory is taken on the word of the header alone.
//!
//! ```
//! use consilience_linalg::matrix_market;
//!
//! let folder = std::env::temp_dir().join("consilience-matrix-market");
//! let (a, b) = (folder.join("A.mtx"), folder.join("b.mtx"));
//! matrix_market::write_matrix(&a, consilience_linalg::sparse::laplacian_2d(3, 3)?.as_ref())?;
//! matrix_market::write_vector(&b, &[0.5; 9])?;
//! assert_eq!(matrix_market::read_matrix(&a)?.compute_nnz(), 33);
//! assert_eq!(matrix_market::read_vector(&b)?, [0.5; 9]);
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod header;
mod read;
mod write;

pub use read::{read_matrix, read_vector};
pub use write::{write_matrix, write_vector};

#[cfg(test)]
mod tests;
