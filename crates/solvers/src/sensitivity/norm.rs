//! Powers of absolute values, and the weights of iteratively reweighted least squares.

/// The function |y|^p, with its usual exponents done without logarithms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Power {
    p: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    One,
    OneAndAHalf,
    Two,
    Three,
    Four,
    Any,
}

impl Power {
    pub fn new(p: f64) -> Self {
        let kind = match p {
            1.0 => Kind::One,
            1.5 => Kind::OneAndAHalf,
            2.0 => Kind::Two,
            3.0 => Kind::Three,
            4.0 => Kind::Four,
            _ => Kind::Any,
        };
        Self { p, kind }
    }

    pub fn p(self) -> f64 {
        self.p
    }

    /// |y|^(p − 2), for |y| > 0.
    #[inline(always)]
    pub fn weight(self, size: f64) -> f64 {
        match self.kind {
            Kind::One => 1.0 / size,
            Kind::OneAndAHalf => 1.0 / size.sqrt(),
            Kind::Two => 1.0,
            Kind::Three => size,
            Kind::Four => size * size,
            Kind::Any => size.powf(self.p - 2.0),
        }
    }

    /// |y|^p.
    #[inline(always)]
    pub fn of(self, y: f64) -> f64 {
        match self.kind {
            Kind::One => y.abs(),
            Kind::OneAndAHalf => y.abs() * y.abs().sqrt(),
            Kind::Two => y * y,
            Kind::Three => y.abs() * y * y,
            Kind::Four => (y * y) * (y * y),
            Kind::Any => y.abs().powf(self.p),
        }
    }

    /// Σ (|y| / scale)^p.
    pub fn sum(self, y: &[f64], scale: f64) -> f64 {
        let inverse = 1.0 / scale;
        y.iter().map(|y| self.of(y * inverse)).sum()
    }

    /// ‖y‖_p, without overflow.
    pub fn norm(self, y: &[f64]) -> f64 {
        let scale = largest(y);
        if scale == 0.0 { 0.0 } else { scale * self.sum(y, scale).powf(1.0 / self.p) }
    }
}

/// ‖y‖_q for 1/p + 1/q = 1.
pub(super) fn dual_norm(y: &[f64], p: f64) -> f64 {
    if p == 1.0 { largest(y) } else { Power::new(p / (p - 1.0)).norm(y) }
}

/// max |y|.
pub(super) fn largest(y: &[f64]) -> f64 {
    y.iter().fold(0.0, |most, y| most.max(y.abs()))
}
