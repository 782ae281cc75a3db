//! The points that a search chooses from.

use crate::config::ParameterValue;

/// A value for each parameter that is searched, in the order of the [`Space`].
pub type Point = Vec<ParameterValue>;

/// The parameters that are searched, with their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    axes: Vec<(String, Values)>,
}

/// The values of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// All numbers, or all whole numbers, between two.
    Range {
        /// The lower end, included.
        low: f64,
        /// The upper end, included, above the lower.
        high: f64,
        /// How many values a grid takes, where that is said.
        points: Option<usize>,
        /// Whether they are spread evenly over the logarithms; both ends are then above 0.
        log: bool,
        /// Whether they are whole numbers.
        whole: bool,
    },
    /// These alone, at least one.
    List(Vec<ParameterValue>),
}

/// Significant digits of numbers between the ends of a range: a value that was found is one to write down.
const DIGITS: usize = 4;

impl Space {
    pub(super) fn new(axes: Vec<(String, Values)>) -> Self {
        Self { axes }
    }

    /// The parameters as they are called (`lambda`, `weight.0`), with their values.
    pub fn axes(&self) -> impl ExactSizeIterator<Item = (&str, &Values)> {
        self.axes.iter().map(|(key, values)| (key.as_str(), values))
    }

    /// The number of points; `None` where they cannot be counted.
    pub fn count(&self) -> Option<usize> {
        self.axes.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.count()?))
    }

    /// The point at `unit`, a number from 0 to 1 for each parameter: the way for optimisers that work on the unit cube. Missing
    /// numbers count as 0. Equal stretches stand for equal shares of a list, of the whole numbers, or of the range.
    pub fn at(&self, unit: &[f64]) -> Point {
        let units = unit.iter().copied().chain(std::iter::repeat(0.0));
        self.axes.iter().zip(units).map(|((_, values), unit)| values.at(unit)).collect()
    }
}

impl Values {
    /// The number of values; `None` where they cannot be counted.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::List(values) => Some(values.len()),
            Self::Range { low, high, whole: true, .. } => Some((high - low) as usize + 1),
            Self::Range { .. } => None,
        }
    }

    /// The value at `unit`, from 0 to 1.
    fn at(&self, unit: f64) -> ParameterValue {
        let unit = if unit.is_nan() { 0.0 } else { unit.clamp(0.0, 1.0) };
        match self {
            Self::List(values) => {
                let place = ((unit * values.len() as f64) as usize).min(values.len().saturating_sub(1));
                values.get(place).copied().unwrap_or(ParameterValue::Bool(false))
            }
            Self::Range { low, high, log, whole: true, .. } => {
                // Each whole number has as much room as the next.
                let value = between(low - 0.5, high + 0.5, (low.max(0.5), high + 1.0), *log, unit);
                let value = if *log { value.floor() } else { value.round() };
                ParameterValue::Int(value.clamp(*low, *high) as i64)
            }
            Self::Range { low, high, log, whole: false, .. } => {
                let value = between(*low, *high, (*low, *high), *log, unit);
                ParameterValue::Float(tidy(value, DIGITS).clamp(*low, *high))
            }
        }
    }

    /// `points` values of a range from end to end; of a list all.
    pub(super) fn spread(&self, points: usize) -> Vec<ParameterValue> {
        let Self::Range { low, high, log, whole, .. } = self else {
            return match self {
                Self::List(values) => values.clone(),
                Self::Range { .. } => Vec::new(),
            };
        };
        let steps = (points.max(2) - 1) as f64;
        let at = |step: usize| match points {
            1 => between(*low, *high, (*low, *high), *log, 0.5),
            _ => between(*low, *high, (*low, *high), *log, step as f64 / steps),
        };
        let values = (0..points).map(at);
        if !whole {
            return values.map(|value| ParameterValue::Float(tidy(value, DIGITS + 2).clamp(*low, *high))).collect();
        }
        let mut whole: Vec<i64> = values.map(|value| value.round().clamp(*low, *high) as i64).collect();
        whole.dedup();
        whole.into_iter().map(ParameterValue::Int).collect()
    }
}

/// The number at `unit` between `low` and `high`, or over the logarithms between the two of `logs`.
fn between(low: f64, high: f64, logs: (f64, f64), log: bool, unit: f64) -> f64 {
    match log {
        true => (logs.0.ln() * (1.0 - unit) + logs.1.ln() * unit).exp(),
        false => low * (1.0 - unit) + high * unit,
    }
}

/// A number to so many significant digits.
fn tidy(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: f64, high: f64, log: bool, whole: bool) -> Values {
        Values::Range { low, high, points: None, log, whole }
    }

    fn numbers(values: Vec<ParameterValue>) -> Vec<f64> {
        values.into_iter().map(ParameterValue::as_f64).collect()
    }

    #[test]
    fn grids_reach_both_ends() {
        assert_eq!(numbers(range(0.1, 1.0, false, false).spread(4)), [0.1, 0.4, 0.7, 1.0]);
        assert_eq!(numbers(range(1e-4, 1.0, true, false).spread(3)), [1e-4, 0.01, 1.0]);
        assert_eq!(numbers(range(1.0, 8.0, true, true).spread(4)), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(numbers(range(1.0, 3.0, false, true).spread(9)), [1.0, 2.0, 3.0]);
        assert_eq!(numbers(range(0.0, 1.0, false, false).spread(1)), [0.5]);
        let list = Values::List(vec![ParameterValue::Bool(true), ParameterValue::Bool(false)]);
        assert_eq!(list.spread(1).len(), 2);
    }

    #[test]
    fn points_of_the_unit_cube() {
        let list = Values::List([3, 1, 2].map(ParameterValue::Int).to_vec());
        let space = Space::new(vec![
            ("a".into(), range(0.1, 1.0, false, false)),
            ("b".into(), range(1.0, 4.0, false, true)),
            ("c".into(), list),
            ("d".into(), range(1e-3, 1e3, true, false)),
        ]);
        let at = |unit: [f64; 4]| numbers(space.at(&unit));
        assert_eq!(at([0.0; 4]), [0.1, 1.0, 3.0, 1e-3]);
        assert_eq!(at([1.0; 4]), [1.0, 4.0, 2.0, 1e3]);
        assert_eq!(at([0.5; 4]), [0.55, 3.0, 1.0, 1.0]);
        assert_eq!(at([1.0 / 3.0, 0.2, 0.34, -7.0]), [0.4, 1.0, 1.0, 1e-3]);
        assert_eq!(at([f64::NAN, 9.0, 9.0, 9.0]), [0.1, 4.0, 2.0, 1e3]);
        assert_eq!(numbers(space.at(&[1.0])), [1.0, 1.0, 3.0, 1e-3]);
        assert_eq!(space.count(), None);
        // Whole numbers are drawn alike, also at the ends.
        let whole = range(0.0, 4.0, false, true);
        let mut counts = [0; 5];
        (0..1000).for_each(|i| counts[whole.at(f64::from(i) / 1000.0).as_f64() as usize] += 1);
        assert!(counts.iter().all(|count| (195..=205).contains(count)), "{counts:?}");
        assert_eq!(whole.count(), Some(5));
    }

    #[test]
    fn values_are_short() {
        for i in 0..500 {
            let ParameterValue::Float(value) = range(0.1, 1.0, false, false).at(f64::from(i) / 499.7) else { panic!() };
            assert!(value.to_string().len() <= 6 && (0.1..=1.0).contains(&value), "{value}");
        }
    }
}
