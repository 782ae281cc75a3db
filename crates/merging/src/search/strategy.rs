//! Which points are tried.

use consilience_core::{Error, Result, Seed};
use rand::RngExt;

use super::space::{Point, Space, Values};
use super::trial::{Metric, Trial};

/// What a strategy knows.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The points that there are.
    pub space: &'a Space,
    /// The trials so far, in order. Those that failed have no score.
    pub trials: &'a [Trial],
    /// What their scores are of.
    pub metric: Metric,
}

/// Chooses the points of a search, one after the other.
///
/// The choice must depend on the history alone (and on the strategy's own seed), so that an interrupted search can go on: kept
/// trials are then taken in place of new ones as the same points come up.
pub trait Strategy {
    /// Its name.
    fn name(&self) -> &'static str;

    /// How many trials there will be at most.
    ///
    /// # Errors
    /// Settings that do not fit the space.
    fn trials(&self, space: &Space) -> Result<usize>;

    /// The next point; `None` where there are no more.
    ///
    /// # Errors
    /// As [`Strategy::trials`].
    fn next(&mut self, history: &History<'_>) -> Result<Option<Point>>;
}

/// Every combination of values, those of the last parameter changing first.
///
/// A list gives all its values, a range as many as its `points` say. Ranges that do not say get the same number each: as many
/// as `most` trials allow, or 5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GridSearch {
    /// The most trials. Default: as many as there are.
    pub most: Option<usize>,
}

/// Values that a grid takes of a range where nothing is said.
const POINTS: usize = 5;
/// The most that it takes of a range.
const MOST_POINTS: usize = 1 << 16;

impl GridSearch {
    /// The values of each parameter.
    fn axes(&self, space: &Space) -> Result<Vec<Point>> {
        let open = |values: &Values| matches!(values, Values::Range { points: None, .. });
        let points = match (self.most, space.axes().filter(|(_, values)| open(values)).count()) {
            (Some(most), 1..) => {
                let fits = |points: usize| size(&axes(space, points)).is_some_and(|size| size <= most);
                // The largest number that fits, by halving.
                let (mut points, mut above) = (2, most.clamp(2, MOST_POINTS) + 1);
                while above - points > 1 {
                    let middle = points.midpoint(above);
                    if fits(middle) { points = middle } else { above = middle }
                }
                points
            }
            _ => POINTS,
        };
        let axes = axes(space, points);
        match (size(&axes), self.most) {
            (Some(size), Some(most)) if size > most => {
                let wanted =
                    format!("at least {size}, the combinations of the grid (or fewer values, or a random search)");
                Err(Error::parameter("--trials", most, wanted))
            }
            (None, _) => Err(Error::data("the grid", "it has more combinations than can be counted")
                .with_help("give fewer points, or search at random")),
            _ => Ok(axes),
        }
    }
}

fn axes(space: &Space, points: usize) -> Vec<Point> {
    let count = |values: &Values| match values {
        Values::Range { points: Some(own), .. } => *own,
        _ => points,
    };
    space.axes().map(|(_, values)| values.spread(count(values))).collect()
}

fn size(axes: &[Point]) -> Option<usize> {
    axes.iter().try_fold(1_usize, |size, values| size.checked_mul(values.len()))
}

impl Strategy for GridSearch {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn trials(&self, space: &Space) -> Result<usize> {
        Ok(size(&self.axes(space)?).unwrap_or(usize::MAX))
    }

    fn next(&mut self, history: &History<'_>) -> Result<Option<Point>> {
        let axes = self.axes(history.space)?;
        let mut number = history.trials.len();
        if size(&axes).is_some_and(|size| number >= size) {
            return Ok(None);
        }
        let mut point = Vec::with_capacity(axes.len());
        for values in axes.iter().rev() {
            point.extend(values.get(number % values.len().max(1)));
            number /= values.len().max(1);
        }
        point.reverse();
        Ok(Some(point))
    }
}

/// Points drawn at random, each once; fewer than asked for where there are no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomSearch {
    /// The number of trials.
    pub trials: usize,
    /// Draws the points.
    pub seed: Seed,
}

impl Strategy for RandomSearch {
    fn name(&self) -> &'static str {
        "random"
    }

    fn trials(&self, space: &Space) -> Result<usize> {
        match self.trials {
            0 => Err(Error::parameter("--trials", 0, "at least 1")),
            trials => Ok(trials.min(space.count().unwrap_or(usize::MAX))),
        }
    }

    fn next(&mut self, history: &History<'_>) -> Result<Option<Point>> {
        /// Draws after which it is taken that no point is new.
        const DRAWS: usize = 1000;
        let (space, number) = (history.space, history.trials.len());
        if number >= self.trials(space)? {
            return Ok(None);
        }
        let mut rng = self.seed.derive("search").nth(number as u64).rng();
        let known = |point: &Point| history.trials.iter().any(|trial| trial.parameters.values().eq(point));
        for _ in 0..DRAWS {
            let unit: Vec<f64> = space.axes().map(|_| rng.random::<f64>()).collect();
            let point = space.at(&unit);
            if !known(&point) {
                return Ok(Some(point));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::config::ParameterValue;

    fn range(points: Option<usize>) -> Values {
        Values::Range { low: 0.0, high: 1.0, points, log: false, whole: false }
    }

    fn few() -> Values {
        Values::List([1, 2, 3].map(ParameterValue::Int).to_vec())
    }

    fn space(axes: Vec<Values>) -> Space {
        Space::new(axes.into_iter().enumerate().map(|(i, values)| (format!("p{i}"), values)).collect())
    }

    /// All points that a strategy gives, and how many it said.
    fn all(strategy: &mut dyn Strategy, space: &Space) -> (Vec<Vec<f64>>, usize) {
        let mut trials: Vec<Trial> = Vec::new();
        let said = strategy.trials(space).unwrap();
        while let Some(point) = strategy.next(&History { space, trials: &trials, metric: Metric::Entropy }).unwrap() {
            let parameters: IndexMap<String, ParameterValue> =
                space.axes().zip(point).map(|((key, _), value)| (key.to_owned(), value)).collect();
            trials.push(Trial { parameters, score: None, tasks: Vec::new(), fault: None });
        }
        (trials.iter().map(|trial| trial.parameters.values().map(|value| value.as_f64()).collect()).collect(), said)
    }

    #[test]
    fn grids_give_every_combination_once() {
        let (points, said) = all(&mut GridSearch::default(), &space(vec![range(Some(2)), few()]));
        let wanted = [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]];
        assert_eq!((points, said), (wanted.map(Vec::from).to_vec(), 6));
        assert_eq!(all(&mut GridSearch::default(), &space(vec![range(None)])).0.len(), POINTS);
    }

    #[test]
    fn grids_fit_the_trials_that_there_are() {
        let count = |most, axes| all(&mut GridSearch { most: Some(most) }, &space(axes)).0.len();
        assert_eq!(count(20, vec![range(None), range(None)]), 16);
        assert_eq!(count(20, vec![range(None), few()]), 18);
        assert_eq!(count(20, vec![range(Some(4)), few()]), 12);
        let fault = |most, axes| GridSearch { most: Some(most) }.trials(&space(axes)).unwrap_err().to_string();
        assert!(fault(3, vec![range(None), range(None)]).starts_with("--trials = 3, wanted at least 4"));
        assert!(fault(2, vec![few()]).starts_with("--trials = 2, wanted at least 3"));
        let huge = space(vec![range(Some(usize::MAX >> 40)); 9]);
        assert!(GridSearch::default().trials(&huge).is_err());
    }

    #[test]
    fn random_points_are_new_and_the_seeds() {
        let free = space(vec![range(None), few()]);
        let drawn = |trials, seed, space: &Space| all(&mut RandomSearch { trials, seed: Seed(seed) }, space);
        let (points, said) = drawn(30, 1, &free);
        assert_eq!((points.len(), said), (30, 30));
        assert_eq!(points, drawn(30, 1, &free).0);
        // A longer search begins as the shorter one.
        assert_eq!(points[..10], drawn(10, 1, &free).0);
        assert_ne!(points, drawn(30, 2, &free).0);
        // All of a few points, once each.
        let (mut points, said) = drawn(100, 3, &space(vec![few(), few()]));
        points.sort_by(|a, b| a.partial_cmp(b).unwrap());
        points.dedup();
        assert_eq!((points.len(), said), (9, 9));
        assert!(RandomSearch { trials: 0, seed: Seed(0) }.trials(&free).is_err());
    }
}
