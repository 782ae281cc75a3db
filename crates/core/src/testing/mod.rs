//! What the tests of several crates share (feature `testing`).

mod fit;
mod progress;
mod python;

pub use fit::{Fitted, check_fit};
pub use progress::Recorder;
pub use python::python;
