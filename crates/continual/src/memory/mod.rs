//! Stored samples, and the rules by which they are kept: reservoir, class-balanced, herding.
//!
//! ```
//! use consilience_continual::memory::Memory;
//! use consilience_core::Seed;
//!
//! let mut memory = Memory::reservoir(2, 3, Seed(0))?;
//! for i in 0..100_u32 {
//!     memory.offer(&[i as f32, 0.0], i % 5)?;
//! }
//! assert_eq!((memory.len(), memory.offered()), (3, 100));
//! # Ok::<(), consilience_core::Error>(())
//! ```

mod herding;

use consilience_core::{Error, Result, Seed};
use rand::RngExt;
use rand::seq::{SliceRandom, index};
use serde::{Deserialize, Serialize};

pub use herding::herd;

/// Stored samples with their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    width: usize,
    capacity: usize,
    values: Vec<f32>,
    labels: Vec<u32>,
    offered: u64,
    drawn: u64,
    seed: Seed,
}

impl Memory {
    /// An empty memory for `capacity` samples of `width` values; `seed` draws what is kept and what is replayed.
    ///
    /// # Errors
    /// [`Error::Parameter`] on a capacity or width of 0.
    pub fn reservoir(width: usize, capacity: usize, seed: Seed) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::parameter("memory", capacity, "room for at least 1 sample"));
        }
        if width == 0 {
            return Err(Error::parameter("width", width, "at least 1 value a sample"));
        }
        Ok(Self { width, capacity, values: Vec::new(), labels: Vec::new(), offered: 0, drawn: 0, seed })
    }

    /// The number of samples stored.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether none is stored.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The most samples that it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Values a sample.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Samples offered to [`Memory::offer`] so far.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// The labels of the stored samples.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The values of all stored samples, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of one stored sample.
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        self.values.get(index.checked_mul(self.width)?..)?.get(..self.width)
    }

    /// The bytes that the samples and labels take.
    pub fn bytes(&self) -> usize {
        4 * (self.values.len() + self.labels.len())
    }

    /// The same samples, and room for more: `width` and the stored samples stay.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(self.len());
    }

    /// Forgets every sample.
    pub fn clear(&mut self) {
        self.values.clear();
        self.labels.clear();
    }

    /// Reservoir sampling (Vitter, 1985): after n offers each sample is stored with probability `capacity / n`.
    ///
    /// # Errors
    /// [`Error::Shape`] on a sample of another width.
    pub fn offer(&mut self, sample: &[f32], label: u32) -> Result<()> {
        let number = self.offered;
        self.offered += 1;
        if self.len() < self.capacity {
            return self.push(sample, label);
        }
        self.check(sample)?;
        // One place for each offer, by its number: the same whatever was drawn in between.
        let place = self.seed.derive("reservoir").nth(number).rng().random_range(0..=number);
        if let Ok(place) = usize::try_from(place)
            && place < self.capacity
        {
            self.replace(place, sample, label);
        }
        Ok(())
    }

    /// Stores a sample.
    ///
    /// # Errors
    /// [`Error::Shape`] on another width, [`Error::Data`] where the memory is full.
    pub fn push(&mut self, sample: &[f32], label: u32) -> Result<()> {
        self.check(sample)?;
        if self.len() >= self.capacity {
            return Err(Error::data("memory", format!("its {} places are taken", self.capacity)));
        }
        self.values.extend_from_slice(sample);
        self.labels.push(label);
        Ok(())
    }

    fn replace(&mut self, place: usize, sample: &[f32], label: u32) {
        let start = place * self.width;
        if let (Some(row), Some(old)) = (self.values.get_mut(start..start + self.width), self.labels.get_mut(place)) {
            row.copy_from_slice(sample);
            *old = label;
        }
    }

    fn check(&self, sample: &[f32]) -> Result<()> {
        match sample.len() == self.width {
            true => Ok(()),
            false => Err(Error::shape("sample", [sample.len()], format!("[{}], as the memory holds", self.width))),
        }
    }

    /// Draws `count` stored samples without replacement (all of them, where fewer are stored), and appends them. Another draw
    /// each time.
    pub fn draw(&mut self, count: usize, values: &mut Vec<f32>, labels: &mut Vec<u32>) -> Vec<usize> {
        let mut rng = self.seed.derive("draw").nth(self.drawn).rng();
        self.drawn += 1;
        let chosen = index::sample(&mut rng, self.len(), count.min(self.len())).into_vec();
        self.read(&chosen, values, labels);
        chosen
    }

    /// Appends the stored samples at `places`; places beyond the last are left out.
    pub fn read(&self, places: &[usize], values: &mut Vec<f32>, labels: &mut Vec<u32>) {
        for place in places {
            if let (Some(row), Some(label)) = (self.row(*place), self.labels.get(*place)) {
                values.extend_from_slice(row);
                labels.push(*label);
            }
        }
    }

    /// Keeps the samples for which `keep` holds; it gets the number and the label.
    pub fn retain(&mut self, keep: impl Fn(usize, u32) -> bool) {
        let mut kept = 0;
        for place in 0..self.len() {
            let Some(label) = self.labels.get(place).copied() else { continue };
            if keep(place, label) {
                self.values.copy_within(place * self.width..(place + 1) * self.width, kept * self.width);
                if let Some(slot) = self.labels.get_mut(kept) {
                    *slot = label;
                }
                kept += 1;
            }
        }
        self.values.truncate(kept * self.width);
        self.labels.truncate(kept);
    }

    /// Shrinks every class to `most` samples, those stored first.
    pub fn shrink_classes(&mut self, most: usize) {
        let mut counts: Vec<usize> = Vec::new();
        let keep: Vec<bool> = self
            .labels
            .iter()
            .map(|label| {
                let class = *label as usize;
                if counts.len() <= class {
                    counts.resize(class + 1, 0);
                }
                counts.get_mut(class).is_some_and(|count| {
                    *count += 1;
                    *count <= most
                })
            })
            .collect();
        self.retain(|place, _| keep.get(place).copied().unwrap_or(false));
    }

    /// The class-balanced memory: shrinks the stored classes to an equal share of the capacity, and fills what is free of each
    /// class's share with a random choice of the new samples. `labels` are those of the samples in `values` (row-major).
    ///
    /// # Errors
    /// [`Error::Parameter`] where the capacity is below the number of classes, [`Error::Shape`].
    pub fn rebalance(&mut self, values: &[f32], labels: &[u32]) -> Result<()> {
        if values.len() != labels.len() * self.width {
            return Err(Error::shape("samples", [values.len()], format!("[{} x {}]", labels.len(), self.width)));
        }
        let mut classes: Vec<u32> = self.labels.iter().chain(labels).copied().collect();
        classes.sort_unstable();
        classes.dedup();
        let quota = self.capacity / classes.len().max(1);
        if quota == 0 {
            let wanted = format!("room for at least one sample of each of {} classes", classes.len());
            return Err(Error::parameter("memory", self.capacity, wanted));
        }
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.shuffle(&mut self.seed.derive("rebalance").nth(self.offered).rng());
        self.offered += labels.len() as u64;
        self.shrink_classes(quota);
        let class_at = |label: u32| classes.binary_search(&label).unwrap_or(0);
        let mut counts = vec![0_usize; classes.len()];
        let mut count = |label: u32| {
            counts.get_mut(class_at(label)).map_or(quota, |count| {
                *count += 1;
                *count - 1
            })
        };
        self.labels.iter().for_each(|label| {
            count(*label);
        });
        for index in order {
            let Some(label) = labels.get(index).copied() else { continue };
            if let Some(sample) = values.get(index * self.width..(index + 1) * self.width)
                && count(label) < quota
            {
                self.push(sample, label)?;
            }
        }
        Ok(())
    }

    /// Checks a memory that came from a file.
    pub(crate) fn check_stored(&self) -> Result<()> {
        let whole = self.values.len() == self.labels.len() * self.width && self.len() <= self.capacity;
        match whole && self.values.iter().all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(Error::data("saved learner", "its memory is damaged")),
        }
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    use super::*;

    #[test]
    fn each_offer_is_stored_equally_often() {
        let (n, capacity, runs) = (500_u32, 50, 2000);
        let mut counts = vec![0.0_f64; n as usize];
        for run in 0..runs {
            let mut memory = Memory::reservoir(1, capacity, Seed(run)).unwrap();
            for i in 0..n {
                memory.offer(&[i as f32], i).unwrap();
                assert!(memory.len() <= capacity);
            }
            for (value, label) in memory.values().iter().zip(memory.labels()) {
                assert_eq!(*value as u32, *label, "labels stay with their samples");
                counts[*label as usize] += 1.0;
            }
        }
        let expected = runs as f64 * capacity as f64 / f64::from(n);
        // Counts are binomial with p = 0.1, so the statistic is that of chi-square times 1 - p.
        let statistic: f64 = counts.iter().map(|c| (c - expected).powi(2) / (expected * 0.9)).sum();
        assert!(ChiSquared::new(f64::from(n) - 1.0).unwrap().sf(statistic) > 1e-4, "{statistic}");
    }

    #[test]
    fn classes_share_the_memory() {
        let mut memory = Memory::reservoir(1, 12, Seed(1)).unwrap();
        let offer = |memory: &mut Memory, classes: std::ops::Range<u32>| {
            let labels: Vec<u32> = classes.flat_map(|class| vec![class; 10]).collect();
            let values: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
            memory.rebalance(&values, &labels)
        };
        let counts = |memory: &Memory| {
            let mut counts = [0; 6];
            memory.labels().iter().for_each(|label| counts[*label as usize] += 1);
            counts
        };
        offer(&mut memory, 0..2).unwrap();
        assert_eq!(counts(&memory), [6, 6, 0, 0, 0, 0]);
        offer(&mut memory, 2..6).unwrap();
        assert_eq!(counts(&memory), [2; 6]);
        offer(&mut memory, 0..1).unwrap();
        assert_eq!(counts(&memory), [2; 6], "a class that comes again keeps its share");
        let mut small = Memory::reservoir(1, 3, Seed(1)).unwrap();
        let error = offer(&mut small, 0..4).unwrap_err().to_string();
        assert_eq!(error, "memory = 3, wanted room for at least one sample of each of 4 classes");
    }

    #[test]
    fn draws_are_without_replacement_and_differ() {
        let mut memory = Memory::reservoir(2, 20, Seed(4)).unwrap();
        (0..20).for_each(|i| memory.offer(&[i as f32, 0.0], i).unwrap());
        let mut draws = Vec::new();
        for _ in 0..3 {
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            memory.draw(8, &mut values, &mut labels);
            let mut distinct = labels.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!((distinct.len(), values.len()), (8, 16));
            draws.push(labels);
        }
        assert!(draws[0] != draws[1] && draws[1] != draws[2]);
        assert!(memory.offer(&[1.0], 0).is_err());
        assert!(Memory::reservoir(2, 0, Seed(0)).is_err());
    }
}
