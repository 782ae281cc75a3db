//! Exponential and logarithm without branches, so that loops over them compile to vector instructions.
//!
//! Polynomials are fused multiply-adds, which every processor that has vectors of doubles worth using also has.

/// eˣ for x ≤ 0, to about 2e-15 relative; 0 below the smallest normal result.
#[inline(always)]
pub(super) fn exp_of_negative(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.max(-708.0);
    // Adding and subtracting 1.5 × 2⁵² rounds to the nearest whole number.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let n = (x * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    const TAYLOR: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let mut sum = TAYLOR[0];
    for c in &TAYLOR[1..] {
        sum = sum.mul_add(r, *c);
    }
    sum * f64::from_bits(((n + 1023.0) as i64 as u64) << 52)
}

/// The magnitude up to which [`exp_of_small`] holds.
pub(super) const SMALL: f64 = 0.05;

/// eˣ for |x| ≤ [`SMALL`], to about 2e-16 relative.
#[inline(always)]
pub(super) fn exp_of_small(x: f64) -> f64 {
    let mut sum: f64 = 1.0 / 40_320.0;
    for c in [1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = x.mul_add(sum, c);
    }
    sum
}

/// ln(p / q) for positive p and q whose ratio lies within e^(±2 · [`SMALL`]), to about 2e-16 relative, also where it is
/// next to 0.
#[inline(always)]
pub(super) fn ln_of_near_ratio(p: f64, q: f64) -> f64 {
    let s = (p - q) / (p + q);
    let square = s * s;
    let mut sum: f64 = 1.0 / 11.0;
    for odd in [9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = square.mul_add(sum, 1.0 / odd);
    }
    2.0 * s * sum
}

/// ln x for normal x > 0, to about 2e-16 absolute near 1 and 4e-16 relative elsewhere.
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    // x = m 2ᵏ with m in [√½, √2); ln m = 2 artanh((m − 1) / (m + 1)).
    let bits = x.to_bits();
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let shifted = bits.wrapping_sub(SQRT_HALF);
    let k = (shifted as i64) >> 52;
    let m = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let mut sum: f64 = 1.0 / 23.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum.mul_add(q, 1.0 / odd);
    }
    k as f64 * std::f64::consts::LN_2 + 2.0 * s * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for i in 0..70_000 {
            let x = -f64::from(i) * 0.01;
            let (found, wanted) = (exp_of_negative(x), x.exp());
            assert!((found - wanted).abs() <= 4e-15 * wanted, "{x}: {found}, {wanted}");
        }
        assert!(exp_of_negative(-1e300) < 1e-300);
    }

    #[test]
    fn what_lies_near_agrees_too() {
        for i in -500..=500 {
            let x = f64::from(i) * SMALL / 500.0;
            assert!((exp_of_small(x) - x.exp()).abs() <= 4e-16, "{x}");
            let q = 1e-7 * f64::from(i + 700);
            let found = ln_of_near_ratio(q * (2.0 * x).exp(), q);
            assert!((found - 2.0 * x).abs() <= 5e-16, "{x}: {found}");
        }
        assert_eq!(ln_of_near_ratio(0.25, 0.25), 0.0);
    }

    #[test]
    fn ln_agrees_with_the_standard_library() {
        for i in 1..100_000 {
            let x = f64::from(i) * 1e-4 + f64::from(i % 7) * 1e-9;
            let (found, wanted) = (ln(x), x.ln());
            assert!((found - wanted).abs() <= 4e-16 + 4e-16 * wanted.abs(), "{x}: {found}, {wanted}");
        }
        for x in [1e-8, 1e-300, 1e300, 1.0] {
            assert!((ln(x) - x.ln()).abs() <= 4e-16 + 4e-16 * x.ln().abs());
        }
    }
}
