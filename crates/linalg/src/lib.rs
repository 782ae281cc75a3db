//! Linear algebra over [faer](https://docs.rs/faer) that Consilience's methods share: positive definite systems, singular
//! values and eigenvalues, tall least squares, sketches, leverage scores, random subspaces, proximal maps, the matrix
//! exponential, linear operators, sparse matrices and their files, Krylov methods and preconditioners.
//!
//! Matrices are faer's `Mat<f64>` and `MatRef<f64>`. Every function checks shapes, that the input is finite and that
//! parameters are in range, and says in an error which argument is at fault.
//!
//! ```
//! use consilience_linalg::spd;
//! use faer::mat;
//!
//! let gram = mat![[4.0, 1.0], [1.0, 3.0]];
//! let right = mat![[1.0], [2.0]];
//! let x = spd::solve_jittered(gram.as_ref(), right.as_ref(), 0.0)?;
//! assert!((x[(0, 0)] - 1.0 / 11.0).abs() < 1e-12 && (x[(1, 0)] - 7.0 / 11.0).abs() < 1e-12);
//! # Ok::<(), consilience_core::Error>(())
//! ```

pub mod check;
mod exponential;
pub mod gram;
pub mod hadamard;
pub mod krylov;
pub mod leverage;
pub mod matrix_market;
pub mod operator;
pub mod preconditioner;
pub mod proximal;
pub mod random;
pub mod sampling;
mod sequential;
pub mod sketch;
pub mod sparse;
pub mod spd;
pub mod spectral;
pub mod tall;
pub mod vector;

pub use exponential::exponential;
