//! Sparse signs: OSNAP, and CountSketch with one sign a column.

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::{Sketch, column_part, columns_at_once};

/// Rows of A that are scattered together, so that their places are drawn once for all columns of a thread.
const BLOCK: usize = 4096;
/// The sign stands above the row's number.
const SIGN: u32 = 1 << 31;

pub(super) fn apply(sketch: &Sketch, a: MatRef<'_, f64>, nonzeros: usize) -> Mat<f64> {
    let (m, n, d) = (sketch.rows, sketch.columns, a.ncols());
    let at_once = columns_at_once(d);
    let mut out = vec![0.0; m * d];
    out.par_chunks_mut(m * at_once).enumerate().for_each(|(group, out)| {
        let (mut places, mut copy) = (vec![0_u32; BLOCK * nonzeros], Vec::new());
        for start in (0..n).step_by(BLOCK) {
            let length = BLOCK.min(n - start);
            let places = &mut places[..length * nonzeros];
            draw(sketch, nonzeros, start, places);
            for (k, out) in out.chunks_exact_mut(m).enumerate() {
                scatter(column_part(a, group * at_once + k, start, length, &mut copy), places, nonzeros, out);
            }
        }
        let scale = 1.0 / (nonzeros as f64).sqrt();
        out.iter_mut().for_each(|value| *value *= scale);
    });
    MatRef::from_column_major_slice(&out, m, d).to_owned()
}

/// The places (row and sign) of the entries of columns `start ..` of S: one in each band of rows.
fn draw(sketch: &Sketch, nonzeros: usize, start: usize, places: &mut [u32]) {
    sketch.seed.philox().words(0, (start * nonzeros) as u64, places);
    let band = |k: usize| (k * sketch.rows / nonzeros) as u32;
    for column in places.chunks_exact_mut(nonzeros) {
        for (k, place) in column.iter_mut().enumerate() {
            let (first, height) = (band(k), u64::from(band(k + 1) - band(k)));
            let row = (u64::from(*place & !SIGN) * height) >> 31;
            *place = (first + row as u32) | (*place & SIGN);
        }
    }
}

fn scatter(values: &[f64], places: &[u32], nonzeros: usize, out: &mut [f64]) {
    let signed = |value: f64, place: u32| f64::from_bits(value.to_bits() ^ (u64::from(place & SIGN) << 32));
    if nonzeros == 1 {
        for (value, place) in values.iter().zip(places) {
            out[(place & !SIGN) as usize] += signed(*value, *place);
        }
        return;
    }
    for (value, places) in values.iter().zip(places.chunks_exact(nonzeros)) {
        for place in places {
            out[(place & !SIGN) as usize] += signed(*value, *place);
        }
    }
}
