//! What one run of a claim's experiment measured.

use serde::{Deserialize, Serialize};

/// The named measurements of one seed, in the order in which they were recorded, and curves for figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// One number for each (arm, metric).
    pub values: Vec<Value>,
    /// Curves to draw; they take no part in the verdict.
    pub curves: Vec<Curve>,
}

/// One number that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The method or baseline.
    pub arm: String,
    /// What was measured.
    pub metric: String,
    /// The number; JSON holds `null` where it is not finite.
    #[serde(with = "number")]
    pub value: f64,
}

/// One line of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The figure that it belongs to: curves of the same title share one.
    pub title: String,
    /// What the horizontal and the vertical axis show, with units.
    pub axes: [String; 2],
    /// The method or baseline.
    pub arm: String,
    /// Points (x, y) in drawing order.
    pub points: Vec<(f64, f64)>,
}

impl Measurements {
    /// No measurements yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records one number; a second value for the same arm and metric replaces the first.
    pub fn record(&mut self, arm: impl Into<String>, metric: impl Into<String>, value: f64) -> &mut Self {
        let (arm, metric) = (arm.into(), metric.into());
        match self.values.iter_mut().find(|v| v.arm == arm && v.metric == metric) {
            Some(known) => known.value = value,
            None => self.values.push(Value { arm, metric, value }),
        }
        self
    }

    /// Records one curve of the figure `title`, whose axes are labelled `axes` = [horizontal, vertical].
    pub fn record_curve(
        &mut self,
        title: impl Into<String>,
        axes: [&str; 2],
        arm: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> &mut Self {
        self.curves.push(Curve {
            title: title.into(),
            axes: axes.map(String::from),
            arm: arm.into(),
            points: points.into_iter().collect(),
        });
        self
    }

    /// The number recorded for an arm and a metric.
    pub fn get(&self, arm: &str, metric: &str) -> Option<f64> {
        self.values.iter().find(|v| v.arm == arm && v.metric == metric).map(|v| v.value)
    }

    /// The first measurement that is NaN or infinite.
    pub fn first_not_finite(&self) -> Option<&Value> {
        self.values.iter().find(|v| !v.value.is_finite())
    }
}

/// JSON has no NaN: a number that is not finite is written as `null` and read back as NaN.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_the_last_value_counts() {
        let mut m = Measurements::new();
        m.record("b", "accuracy", 1.0).record("a", "accuracy", 2.0).record("b", "accuracy", 3.0);
        let order: Vec<_> = m.values.iter().map(|v| (v.arm.as_str(), v.value)).collect();
        assert_eq!(order, [("b", 3.0), ("a", 2.0)]);
        assert_eq!(m.get("a", "accuracy"), Some(2.0));
        assert_eq!(m.get("a", "loss"), None);
    }

    #[test]
    fn not_finite_survives_json() {
        let mut m = Measurements::new();
        m.record("a", "loss", f64::INFINITY).record_curve("t", ["x", "y"], "a", [(0.0, 1.0)]);
        assert_eq!(m.first_not_finite().map(|v| v.metric.as_str()), Some("loss"));
        let text = serde_json::to_string(&m).unwrap();
        assert!(text.contains("null"), "{text}");
        let back: Measurements = serde_json::from_str(&text).unwrap();
        assert!(back.values[0].value.is_nan());
        assert_eq!(back.curves, m.curves);
    }
}
