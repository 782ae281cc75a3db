//! What a learner of several tasks keeps and gains.

use super::spread::finite;
use crate::{Error, Result};

/// `A[i][j]`: the accuracy on task j after learning task i, for K tasks. Needs the whole square; entries above the diagonal
/// (tasks not learnt yet) are used by [`AccuracyMatrix::forward_transfer`] alone.
#[derive(Clone, Debug, PartialEq)]
pub struct AccuracyMatrix {
    tasks: usize,
    values: Vec<f64>,
}

impl AccuracyMatrix {
    /// A matrix from its rows.
    ///
    /// # Errors
    /// No rows, a row of another length than the number of rows, or a value that is not finite.
    pub fn new(rows: &[Vec<f64>]) -> Result<Self> {
        let tasks = rows.len();
        if tasks == 0 {
            return Err(Error::data("accuracy matrix", "it has no rows"));
        }
        for (index, row) in rows.iter().enumerate() {
            if row.len() != tasks {
                return Err(Error::shape(format!("accuracy matrix, row {index}"), [row.len()], format!("[{tasks}]")));
            }
            finite(&format!("accuracy matrix, row {index}"), row)?;
        }
        Ok(Self { tasks, values: rows.concat() })
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// The rows, one for each task learnt.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.tasks)
    }

    fn at(&self, after: usize, task: usize) -> f64 {
        self.values[after * self.tasks + task]
    }

    fn last(&self, task: usize) -> f64 {
        self.at(self.tasks - 1, task)
    }

    fn mean_over(&self, tasks: std::ops::Range<usize>, term: impl Fn(usize) -> f64) -> f64 {
        let count = tasks.len();
        if count == 0 { 0.0 } else { tasks.map(term).sum::<f64>() / count as f64 }
    }

    /// Average accuracy over all tasks at the end.
    pub fn average(&self) -> f64 {
        self.mean_over(0..self.tasks, |j| self.last(j))
    }

    /// Average over the learning steps of the average accuracy on the tasks learnt so far.
    pub fn average_incremental(&self) -> f64 {
        self.mean_over(0..self.tasks, |i| self.mean_over(0..i + 1, |j| self.at(i, j)))
    }

    /// Average accuracy on each task just after it was learnt.
    pub fn learning(&self) -> f64 {
        self.mean_over(0..self.tasks, |j| self.at(j, j))
    }

    /// Backward transfer (Lopez-Paz and Ranzato, 2017): mean over all but the last task of the final accuracy minus that
    /// just after learning it. Negative means forgetting; 0 for one task.
    pub fn backward_transfer(&self) -> f64 {
        self.mean_over(0..self.tasks - 1, |j| self.last(j) - self.at(j, j))
    }

    /// Forgetting (Chaudhry et al., 2018): mean over all but the last task of the best accuracy from when it was learnt to
    /// before the last task, minus the final one. 0 for one task.
    pub fn forgetting(&self) -> f64 {
        self.mean_over(0..self.tasks - 1, |j| {
            let best = (j..self.tasks - 1).map(|i| self.at(i, j)).fold(f64::NEG_INFINITY, f64::max);
            best - self.last(j)
        })
    }

    /// Forward transfer: mean over all but the first task of the accuracy just before learning it, minus `untrained[j]`,
    /// that of an untrained model. 0 for one task.
    ///
    /// # Errors
    /// `untrained` has not one value for each task.
    pub fn forward_transfer(&self, untrained: &[f64]) -> Result<f64> {
        if untrained.len() != self.tasks {
            return Err(Error::shape("untrained", [untrained.len()], format!("[{}]", self.tasks)));
        }
        finite("untrained", untrained)?;
        Ok(self.mean_over(1..self.tasks, |j| self.at(j - 1, j) - untrained[j]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn two_tasks() {
        let a = AccuracyMatrix::new(&[vec![0.9, 0.1], vec![0.5, 0.8]]).unwrap();
        assert!(close(a.average(), 0.65));
        assert!(close(a.backward_transfer(), -0.4));
        assert!(close(a.forgetting(), 0.4));
        assert!(close(a.learning(), 0.85));
        assert!(close(a.average_incremental(), 0.775));
        assert!(close(a.forward_transfer(&[0.1, 0.1]).unwrap(), 0.0));
    }

    #[test]
    fn forgetting_counts_from_the_best() {
        let a = AccuracyMatrix::new(&[vec![0.5, 0.0, 0.0], vec![0.9, 0.6, 0.0], vec![0.7, 0.6, 0.8]]).unwrap();
        assert!(close(a.forgetting(), 0.1), "0.9 - 0.7 for the first task, 0 for the second");
        assert!(close(a.backward_transfer(), 0.1));
    }

    #[test]
    fn one_task_forgets_nothing_and_bad_matrices_are_refused() {
        let one = AccuracyMatrix::new(&[vec![0.7]]).unwrap();
        assert_eq!((one.average(), one.forgetting(), one.backward_transfer()), (0.7, 0.0, 0.0));
        assert!(AccuracyMatrix::new(&[]).is_err());
        assert!(AccuracyMatrix::new(&[vec![0.7, 0.1]]).is_err());
        assert!(AccuracyMatrix::new(&[vec![f64::NAN]]).is_err());
    }
}
