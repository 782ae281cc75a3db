//! Analytic learning as a learner of streams.

use std::sync::Mutex;

use consilience_core::{Error, Result};
use consilience_nn::Logits;

use super::{Analytic, Expansion, Regression};
use crate::learner::{Experience, LabelledBatch, Learner, StepInfo};
use crate::learners::FeatureMap;

/// Frozen features, a fixed expansion, and a regression that is updated by each batch.
pub struct AnalyticLearner {
    settings: Analytic,
    map: Box<dyn FeatureMap>,
    expansion: Expansion,
    // Weights are solved for when a prediction is asked, which must not change the learner.
    regression: Mutex<Option<Regression>>,
    outputs: usize,
}

impl AnalyticLearner {
    /// A learner without classes. The width of the features is that of the first batch.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn new(settings: Analytic, map: Box<dyn FeatureMap>, expansion: Expansion) -> Result<Self> {
        settings.regression(1)?;
        Ok(Self { settings, map, expansion, regression: Mutex::new(None), outputs: 1 })
    }

    /// The regression, once a batch has come.
    pub fn regression(&self) -> Option<Regression> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Regression>> {
        self.regression.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Learner for AnalyticLearner {
    fn name(&self) -> String {
        if self.settings.exposed_gain { "G-ACIL".into() } else { "ACIL".into() }
    }

    fn begin_task(&mut self, _task: &Experience<'_>) -> Result<()> {
        if let Some(regression) = self.lock().as_mut() {
            regression.begin_task();
        }
        Ok(())
    }

    fn train_step(&mut self, batch: &LabelledBatch<'_>) -> Result<StepInfo> {
        let (features, d) = self.map.features(batch.values, batch.shape)?;
        let x = self.expansion.apply(&features, d)?;
        self.outputs = batch.place.outputs;
        let mut regression = self.lock();
        let regression = match regression.as_mut() {
            Some(regression) => regression,
            None => regression.insert(self.settings.regression(x.ncols())?),
        };
        regression.update(x.as_ref(), batch.labels)?;
        Ok(StepInfo { loss: 0.0 })
    }

    fn predict(&self, values: &[f32], shape: &[usize]) -> Result<Logits> {
        let (features, d) = self.map.features(values, shape)?;
        let x = self.expansion.apply(&features, d)?;
        let mut regression = self.lock();
        let Some(regression) = regression.as_mut() else {
            return Ok(crate::learners::unseen(x.nrows()));
        };
        let scores = regression.scores(x.as_ref())?;
        let (classes, outputs) = (scores.ncols(), scores.ncols().max(self.outputs));
        let mut rows = Vec::with_capacity(x.nrows() * outputs);
        for i in 0..x.nrows() {
            rows.extend(
                (0..outputs).map(|c| if c < classes { scores[(i, c)] as f32 } else { crate::learners::UNSEEN }),
            );
        }
        Ok(Logits { values: rows, classes: outputs })
    }

    fn state_bytes(&self) -> usize {
        self.lock().as_ref().map_or(0, Regression::bytes)
    }

    fn save(&self) -> Result<Vec<u8>> {
        let bytes = self.lock().as_ref().map(Regression::save).transpose()?;
        crate::learner::to_bytes(&(self.outputs, bytes))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let (outputs, bytes): (usize, Option<Vec<u8>>) = crate::learner::from_bytes(bytes)?;
        let regression = bytes.map(|bytes| Regression::load(&bytes)).transpose()?;
        if outputs > u32::MAX as usize {
            return Err(Error::data("saved learner", "it is damaged"));
        }
        self.outputs = outputs;
        *self.lock() = regression;
        Ok(())
    }
}
