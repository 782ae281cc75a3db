//! Figures as SVG text, drawn by plotters: lines, bars, scatter, heat map.
//!
//! Colours come from Okabe and Ito's palette, which colour-blind readers can tell apart. Every function returns the text of
//! one self-contained `<svg>`, and an error, never a panic, for data that cannot be drawn.
//!
//! ```
//! use consilience_core::plot::{Frame, Series, lines};
//!
//! let frame = Frame { title: "Loss".into(), x: "step".into(), y: "cross-entropy".into(), ..Frame::default() };
//! let svg = lines(&frame, &[Series::new("method", [(0.0, 2.3), (1.0, 1.1), (2.0, 0.4)])])?;
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod bars;
mod canvas;
mod heat;
mod xy;

pub use bars::{BarGroup, bars};
pub use canvas::Frame;
pub use heat::{Grid, heat_map};
pub use xy::{Series, lines, scatter};
