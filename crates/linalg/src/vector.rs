//! Sums and updates of long vectors, over all threads, with results that do not depend on how many there are.
//!
//! A vector is halved until its pieces have 4096 elements; pieces are worked on in any order, but their sums are added in the
//! order of the halving, which depends on the length alone.

/// Elements of a piece that one thread works on at a time.
const PIECE: usize = 4096;
/// Vectors up to this length stay on the calling thread: waking others costs more.
const ALONE: usize = 1 << 16;

/// What can be cut in two: slices, ranges of rows, and several of them of one length.
pub trait Pieces: Sized + Send {
    /// The number of elements.
    fn count(&self) -> usize;
    /// The first `at` elements, and the others.
    fn cut(self, at: usize) -> (Self, Self);
}

impl Pieces for &[f64] {
    fn count(&self) -> usize {
        self.len()
    }
    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl Pieces for &mut [f64] {
    fn count(&self) -> usize {
        self.len()
    }
    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

impl Pieces for std::ops::Range<usize> {
    fn count(&self) -> usize {
        self.len()
    }
    fn cut(self, at: usize) -> (Self, Self) {
        let middle = self.start + at;
        (self.start..middle, middle..self.end)
    }
}

macro_rules! pieces_of_tuple {
    ($first:ident $($name:ident)*) => {
        impl<$first: Pieces, $($name: Pieces),*> Pieces for ($first, $($name),*) {
            fn count(&self) -> usize {
                self.0.count()
            }
            #[allow(non_snake_case)]
            fn cut(self, at: usize) -> (Self, Self) {
                let ($first, $($name),*) = self;
                let $first = $first.cut(at);
                $(let $name = $name.cut(at);)*
                (($first.0, $($name.0),*), ($first.1, $($name.1),*))
            }
        }
    };
}
pieces_of_tuple!(A B);
pieces_of_tuple!(A B C);
pieces_of_tuple!(A B C D);
pieces_of_tuple!(A B C D E);
pieces_of_tuple!(A B C D E F);
pieces_of_tuple!(A B C D E F G);

/// Works on all pieces, and adds up what `work` returns of each. All members of a tuple must have one length.
pub fn sum_over<P: Pieces, const K: usize>(pieces: P, work: &(impl Fn(P) -> [f64; K] + Sync)) -> [f64; K] {
    let count = pieces.count();
    if count <= PIECE {
        return work(pieces);
    }
    // Cuts stand at multiples of the piece, so that loops are whole.
    let (front, back) = pieces.cut(count.div_ceil(2 * PIECE) * PIECE);
    let (front, back) = match count > ALONE {
        true => rayon::join(|| sum_over(front, work), || sum_over(back, work)),
        false => (sum_over(front, work), sum_over(back, work)),
    };
    std::array::from_fn(|k| front[k] + back[k])
}

/// Works on all pieces.
pub fn for_each<P: Pieces>(pieces: P, work: &(impl Fn(P) + Sync)) {
    sum_over(pieces, &|piece| {
        work(piece);
        []
    });
}

/// `x · y`, of two vectors of one length.
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    let [sum] = sum_over((x, y), &|(x, y)| [lanes(x, y)]);
    sum
}

/// Eight sums side by side, so that the loop compiles to vector instructions.
fn lanes(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// The Euclidean norm of `x`. Values whose squares overflow or vanish are scaled first.
pub fn norm(x: &[f64]) -> f64 {
    let square = dot(x, x);
    if square.is_finite() && square > f64::MIN_POSITIVE / f64::EPSILON {
        return square.sqrt();
    }
    let largest = x.iter().fold(0.0_f64, |a, b| if b.is_nan() { f64::NAN } else { a.max(b.abs()) });
    match largest.is_finite() && largest > 0.0 {
        true => largest * x.iter().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt(),
        false => largest,
    }
}

/// `y += a x`.
pub fn add_scaled(a: f64, x: &[f64], y: &mut [f64]) {
    for_each((x, y), &|(x, y): (&[f64], &mut [f64])| y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x));
}

/// `y = x + b y`.
pub fn scale_and_add(x: &[f64], b: f64, y: &mut [f64]) {
    for_each((x, y), &|(x, y): (&[f64], &mut [f64])| y.iter_mut().zip(x).for_each(|(y, x)| *y = x + b * *y));
}

/// `y *= a`.
pub fn scale(a: f64, y: &mut [f64]) {
    for_each(y, &|y: &mut [f64]| y.iter_mut().for_each(|y| *y *= a));
}

/// `y = a x`.
pub fn scaled(a: f64, x: &[f64], y: &mut [f64]) {
    for_each((x, y), &|(x, y): (&[f64], &mut [f64])| y.iter_mut().zip(x).for_each(|(y, x)| *y = a * x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ramp(n: usize, step: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * step).sin()).collect()
    }

    #[test]
    fn sums_do_not_depend_on_the_thread_count() {
        let (x, y) = (ramp(300_001, 0.37), ramp(300_001, 0.11));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| dot(&x, &y)).to_bits()
        };
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(5));
    }

    #[test]
    fn norms_survive_extremes() {
        assert!((norm(&[3e200, 4e200]) / 5e200 - 1.0).abs() < 1e-15);
        assert!((norm(&[3e-200, 4e-200]) / 5e-200 - 1.0).abs() < 1e-15);
        assert_eq!(norm(&[]), 0.0);
        assert!(norm(&[1.0, f64::NAN, 2.0]).is_nan());
        assert_eq!(norm(&[1.0, f64::NEG_INFINITY]), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn agrees_with_plain_loops(n in 0_usize..20_000, a in -2.0..2.0_f64) {
            let (x, y) = (ramp(n, 0.7), ramp(n, 0.3));
            let plain: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            prop_assert!((dot(&x, &y) - plain).abs() <= 1e-12 * (n as f64 + 1.0));
            let mut sum = y.clone();
            add_scaled(a, &x, &mut sum);
            prop_assert!(sum.iter().zip(x.iter().zip(&y)).all(|(s, (x, y))| *s == y + a * x));
            let mut sum = y.clone();
            scale_and_add(&x, a, &mut sum);
            prop_assert!(sum.iter().zip(x.iter().zip(&y)).all(|(s, (x, y))| *s == x + a * y));
        }
    }
}
