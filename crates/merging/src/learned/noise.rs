//! The functions that a Concrete mask is made of, in f32 and without branches, so that loops over them compile to vector
//! instructions.

/// Uniform numbers stay this far from 0 and 1, so that their logits are finite.
const EDGE: f32 = 1e-7;
/// The sigmoid's argument stays within this.
const STEEP: f32 = 60.0;

/// The logit of the uniform number `u` plus `x`.
#[inline(always)]
pub(super) fn noisy(u: f32, x: f32) -> f32 {
    let u = u.clamp(EDGE, 1.0 - EDGE);
    ln(u / (1.0 - u)) + x
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x.clamp(-STEEP, STEEP)))
}

/// eˣ for |x| ≤ 80, to about 2e-7 relative.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 × 2²³ rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    const TAYLOR: [f32; 8] = [1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let mut sum = TAYLOR[0];
    for c in &TAYLOR[1..] {
        sum = sum * r + c;
    }
    // The low bits of the rounded number are those of n, and the others fall off.
    sum * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// ln x for normal x > 0, to about 1e-7 absolute near 1 and 2e-7 relative elsewhere.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // x = m 2ᵏ with m in [√½, √2); ln m = 2 artanh((m − 1) / (m + 1)).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let k = (shifted as i32) >> 23;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let mut sum = 1.0 / 9.0;
    for odd in [7.0, 5.0, 3.0, 1.0] {
        sum = sum * q + 1.0 / odd;
    }
    k as f32 * std::f32::consts::LN_2 + 2.0 * s * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(found: f32, wanted: f64) -> f64 {
        (f64::from(found) - wanted).abs() / wanted.abs()
    }

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for i in -60_000..=60_000 {
            let x = i as f32 * 1e-3;
            assert!(relative(exp(x), f64::from(x).exp()) < 4e-7, "{x}: {}", exp(x));
        }
    }

    #[test]
    fn ln_agrees_with_the_standard_library() {
        for i in 1..100_000 {
            let u = i as f32 * 1e-5;
            let odds = u / (1.0 - u);
            let wanted = f64::from(odds).ln();
            assert!((f64::from(ln(odds)) - wanted).abs() < 2e-7 + 2e-7 * wanted.abs(), "{odds}: {}", ln(odds));
        }
        assert!(relative(ln(1e-7), f64::from(1e-7_f32).ln()) < 2e-7);
    }

    #[test]
    fn known_masks_at_the_usual_temperature() {
        let cases = [
            (0.5, 0.0, 0.5),
            (0.9, 0.0, 81.0 / 82.0),
            (0.1, 0.0, 1.0 / 82.0),
            (0.5, 1.0, 0.880797078),
            (0.3, -0.5, 0.063293004),
        ];
        for (u, x, wanted) in cases {
            let mask = sigmoid(2.0 * noisy(u, x));
            assert!((f64::from(mask) - wanted).abs() < 1e-6, "m({u}, {x}) = {mask}");
        }
    }

    #[test]
    fn extremes_are_finite() {
        for (u, x) in [(0.0, 0.0), (1.0, 0.0), (0.0, -1e30), (1.0, 1e30)] {
            let mask = sigmoid(2.0 * noisy(u, x));
            assert!((0.0..=1.0).contains(&mask), "m({u}, {x}) = {mask}");
        }
        assert!(sigmoid(-1e30) > 0.0 && sigmoid(1e30) == 1.0);
    }
}
