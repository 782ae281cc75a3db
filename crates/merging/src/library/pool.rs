//! The networks that are merged.

use std::sync::Arc;

use consilience_core::{Error, Result};
use consilience_nn::{Layout, Parameters};
use rayon::prelude::*;

/// A pre-trained network and the networks that were fine-tuned from it, one a task, as points in parameter space.
///
/// All have the same tensors, and all values are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    base: Parameters,
    experts: Vec<Parameters>,
}

impl Pool {
    /// Checks and pools. Fails with [`Error::Data`] where there are no experts, [`Error::Data`] or [`Error::Shape`] naming
    /// the first tensor that differs from the base's, or [`Error::NotFinite`]; several faults come together.
    pub fn new(base: Parameters, experts: Vec<Parameters>) -> Result<Self> {
        if experts.is_empty() {
            return Err(Error::data("experts", "none, wanted at least one fine-tuned network"));
        }
        let mut faults: Vec<Error> = base.check_finite().map_err(|fault| of("base", fault)).err().into_iter().collect();
        for (i, expert) in experts.iter().enumerate() {
            let fault = base.check_same_layout(expert).and_then(|()| expert.check_finite()).err();
            faults.extend(fault.map(|fault| of(&format!("expert {i}"), fault)));
        }
        Error::all(faults).map(|()| Self { base, experts })
    }

    /// The pre-trained network theta0.
    pub fn base(&self) -> &Parameters {
        &self.base
    }

    /// The fine-tuned networks theta_t; at least one.
    pub fn experts(&self) -> &[Parameters] {
        &self.experts
    }

    /// The number of experts, T.
    pub fn tasks(&self) -> usize {
        self.experts.len()
    }

    /// The tensors' names and shapes.
    pub fn layout(&self) -> &Arc<Layout> {
        self.base.layout()
    }

    /// The task vectors tau_t = theta_t - theta0. Memory: as the experts.
    pub fn task_vectors(&self) -> Result<Vec<Parameters>> {
        self.experts.par_iter().map(|expert| expert.difference(&self.base)).collect()
    }

    /// The sum of all task vectors. Memory: one set of tensors, whatever the number of experts.
    pub fn summed_task_vectors(&self) -> Result<Parameters> {
        let mut sum = Parameters::zeros(Arc::clone(self.layout()));
        for expert in &self.experts {
            let entries = sum.values_mut().iter_mut().zip(expert.values()).zip(self.base.values());
            entries.for_each(|((sum, expert), base)| *sum += expert - base);
        }
        Ok(sum)
    }

    /// Fails with [`Error::Data`] where an expert equals the base: there is nothing in it to learn a merge from.
    pub fn check_moved(&self) -> Result<()> {
        match self.experts.iter().position(|expert| expert.values() == self.base.values()) {
            Some(i) => {
                Err(Error::data(format!("expert {i}"), "is equal to the base, so its task vector is zero everywhere")
                    .with_help("leave it out, or pass the fine-tuned network"))
            }
            None => Ok(()),
        }
    }
}

/// The same fault with the network's name before the argument's.
fn of(whose: &str, mut fault: Error) -> Error {
    if let Error::Shape { argument, .. } | Error::NotFinite { argument, .. } | Error::Data { argument, .. } = &mut fault
    {
        *argument = format!("{whose}: {argument}");
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::testing::{pool, vector};

    #[test]
    fn faults_are_named_together() {
        let refused = Pool::new(vector(&[1.0]), vec![]).unwrap_err().to_string();
        assert_eq!(refused, "experts: none, wanted at least one fine-tuned network");
        let Error::Several(faults) =
            Pool::new(vector(&[1.0, 2.0]), vec![vector(&[1.0, f32::NAN]), vector(&[0.0])]).unwrap_err()
        else {
            panic!("two faults")
        };
        assert_eq!(faults[0].to_string(), "expert 0: tensor \"weight\": NaN at entry 1, wanted finite values");
        assert_eq!(
            faults[1].to_string(),
            "expert 1: parameters: tensor \"weight\": the shape is [1, 1], wanted [1, 2]"
        );
    }

    #[test]
    fn task_vectors_are_differences() {
        let pool = pool(&[1.0, 2.0], &[&[2.0, 0.0], &[1.0, 5.0]]);
        let vectors = pool.task_vectors().unwrap();
        assert_eq!(vectors[0].values(), [1.0, -2.0]);
        assert_eq!(vectors[1].values(), [0.0, 3.0]);
        assert_eq!(pool.summed_task_vectors().unwrap().values(), [1.0, 1.0]);
        assert!(pool.check_moved().is_ok());
    }

    #[test]
    fn an_expert_that_is_the_base_is_refused() {
        let message = pool(&[1.0], &[&[2.0], &[1.0]]).check_moved().unwrap_err().to_string();
        assert_eq!(message, "expert 1: is equal to the base, so its task vector is zero everywhere");
    }
}
