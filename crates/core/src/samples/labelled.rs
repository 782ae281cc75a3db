//! Samples with a class each, and how they are split.

use std::path::Path;

use rand::seq::SliceRandom;

use super::{CsvFormat, Samples, Standardizer, csv, idx, npz, raw::RawArray};
use crate::{Error, Result, Seed};

/// Samples with a class number each.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledSamples {
    samples: Samples,
    labels: Vec<u32>,
    classes: usize,
    names: Vec<String>,
}

/// Samples to learn from and samples to be judged on.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: LabelledSamples,
    /// To be judged on.
    pub test: LabelledSamples,
}

impl LabelledSamples {
    /// Samples with `labels[i]` the class of sample i, from 0 to `classes` − 1.
    ///
    /// # Errors
    /// Numbers that differ, or a label that is not below `classes`.
    pub fn new(samples: Samples, labels: Vec<u32>, classes: usize) -> Result<Self> {
        if samples.len() != labels.len() {
            return Err(Error::shape("labels", [labels.len()], format!("[{}], one for each sample", samples.len())));
        }
        if let Some(at) = labels.iter().position(|l| *l as usize >= classes) {
            let wanted = format!("a class below {classes}");
            return Err(Error::parameter(format!("labels[{at}]"), labels[at], wanted));
        }
        Ok(Self { samples, labels, classes, names: Vec::new() })
    }

    /// The same with a name for each class.
    ///
    /// # Errors
    /// Not one name for each class.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self> {
        if names.len() != self.classes {
            return Err(Error::shape("names", [names.len()], format!("[{}], one for each class", self.classes)));
        }
        self.names = names;
        Ok(self)
    }

    /// The samples without their labels.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The number of classes; some may have no sample.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The classes' names; empty where none were given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many samples each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The samples and their labels, taken apart.
    pub fn into_parts(self) -> (Samples, Vec<u32>) {
        (self.samples, self.labels)
    }

    /// The same labels on other samples, for example standardised ones.
    ///
    /// # Errors
    /// Another number of samples.
    pub fn with_samples(&self, samples: Samples) -> Result<Self> {
        let names = self.names.clone();
        Ok(Self { names, ..Self::new(samples, self.labels.clone(), self.classes)? })
    }

    /// The samples at `indices`, copied, in that order; classes keep their numbers.
    ///
    /// # Errors
    /// An index beyond the last sample.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        let samples = self.samples.select(indices)?;
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Ok(Self { samples, labels, classes: self.classes, names: self.names.clone() })
    }

    /// The samples of the given classes; their labels become the position in `classes`.
    ///
    /// # Errors
    /// A class that does not exist or is named twice.
    pub fn of_classes(&self, classes: &[u32]) -> Result<Self> {
        let mut position = vec![None; self.classes];
        for (new, &old) in classes.iter().enumerate() {
            match position.get_mut(old as usize) {
                Some(free @ None) => *free = Some(new as u32),
                Some(Some(_)) => return Err(Error::parameter("classes", old, "each class once")),
                None => return Err(Error::parameter("classes", old, format!("classes below {}", self.classes))),
            }
        }
        let (indices, labels): (Vec<usize>, Vec<u32>) = self
            .labels
            .iter()
            .enumerate()
            .filter_map(|(index, &label)| position[label as usize].map(|new| (index, new)))
            .unzip();
        let names = classes.iter().filter_map(|&c| self.names.get(c as usize).cloned()).collect();
        Ok(Self { samples: self.samples.select(&indices)?, labels, classes: classes.len(), names })
    }

    /// The samples in a random order.
    pub fn shuffled(&self, seed: Seed) -> Result<Self> {
        self.select(&permutation(self.len(), seed))
    }

    /// Splits at random: `fraction` of the samples, rounded, to train.
    ///
    /// # Errors
    /// A fraction outside of [0, 1].
    pub fn split(&self, fraction: f64, seed: Seed) -> Result<Split> {
        check_fraction(fraction)?;
        let order = permutation(self.len(), seed);
        let (train, test) = order.split_at(share(order.len(), fraction));
        Ok(Split { train: self.select(train)?, test: self.select(test)? })
    }

    /// Splits at random within each class: `fraction` of each class's samples, rounded, to train. Both sides are shuffled.
    ///
    /// # Errors
    /// A fraction outside of [0, 1].
    pub fn split_stratified(&self, fraction: f64, seed: Seed) -> Result<Split> {
        check_fraction(fraction)?;
        let mut by_class = vec![Vec::new(); self.classes];
        for index in permutation(self.len(), seed.derive("split")) {
            by_class[self.labels[index] as usize].push(index);
        }
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for indices in by_class {
            let (a, b) = indices.split_at(share(indices.len(), fraction));
            train.extend_from_slice(a);
            test.extend_from_slice(b);
        }
        train.shuffle(&mut seed.derive("train").rng());
        test.shuffle(&mut seed.derive("test").rng());
        Ok(Split { train: self.select(&train)?, test: self.select(&test)? })
    }

    /// Reads samples and labels from two IDX files, plain or gzipped. The number of classes is one more than the highest
    /// label.
    ///
    /// # Errors
    /// Those of [`Samples::read_idx`]; labels that are not class numbers; numbers that differ.
    pub fn read_idx(samples: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        let name = labels.as_ref().display().to_string();
        Self::with_raw_labels(Samples::read_idx(samples)?, &name, &idx::read(labels.as_ref())?)
    }

    /// Reads samples and labels from two arrays of one `.npz` file. The number of classes is one more than the highest
    /// label.
    ///
    /// # Errors
    /// Those of [`Samples::read_npz`]; labels that are not class numbers; numbers that differ.
    pub fn read_npz(path: impl AsRef<Path>, samples: &str, labels: &str) -> Result<Self> {
        let name = format!("{}, array {labels}", path.as_ref().display());
        Self::with_raw_labels(Samples::read_npz(&path, samples)?, &name, &npz::read(path.as_ref(), labels)?)
    }

    /// Reads a table of numbers with a column of labels, plain or gzipped; see [`CsvFormat`].
    ///
    /// # Errors
    /// The file cannot be read, a row has another number of columns, a field is no number (line and column are named), or
    /// there is no such label column.
    pub fn read_csv(path: impl AsRef<Path>, format: &CsvFormat) -> Result<Self> {
        csv::read(path.as_ref(), format)
    }

    pub(crate) fn from_idx_bytes(name: &str, samples: &[u8], labels: &[u8]) -> Result<Self> {
        let images = Samples::from_raw(name, idx::parse(Path::new(name), samples)?)?;
        Self::with_raw_labels(images, name, &idx::parse(Path::new(name), labels)?)
    }

    pub(crate) fn from_csv_bytes(name: &str, bytes: &[u8], format: &CsvFormat) -> Result<Self> {
        csv::parse(Path::new(name), bytes, format)
    }

    fn with_raw_labels(samples: Samples, name: &str, labels: &RawArray) -> Result<Self> {
        let labels = labels.to_labels(name)?;
        let classes = labels.iter().max().map_or(0, |top| *top as usize + 1);
        Self::new(samples, labels, classes)
    }

    /// Every value multiplied by `factor`: 1/255 brings bytes to [0, 1].
    pub(crate) fn scaled(self, factor: f32) -> Result<Self> {
        let Self { samples, labels, classes, names } = self;
        let shape = samples.shape().to_vec();
        let mut values = samples.into_vec();
        values.iter_mut().for_each(|v| *v *= factor);
        Ok(Self { samples: Samples::new(values, &shape)?, labels, classes, names })
    }
}

impl Split {
    /// Both sides standardised by the mean and deviation of the training side.
    ///
    /// # Errors
    /// Those of [`Standardizer::fit`].
    pub fn standardized(&self) -> Result<Self> {
        let standardizer = Standardizer::fit(self.train.samples())?;
        let side = |s: &LabelledSamples| s.with_samples(standardizer.apply(s.samples())?);
        Ok(Self { train: side(&self.train)?, test: side(&self.test)? })
    }
}

fn permutation(count: usize, seed: Seed) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut seed.rng());
    order
}

fn share(count: usize, fraction: f64) -> usize {
    ((count as f64 * fraction).round() as usize).min(count)
}

fn check_fraction(fraction: f64) -> Result<()> {
    if (0.0..=1.0).contains(&fraction) {
        Ok(())
    } else {
        Err(Error::parameter("fraction", fraction, "a number in [0, 1]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(count: usize, classes: u32) -> LabelledSamples {
        let samples = Samples::new((0..count).map(|i| i as f32).collect(), &[1]).unwrap();
        LabelledSamples::new(samples, (0..count as u32).map(|i| i % classes).collect(), classes as usize).unwrap()
    }

    #[test]
    fn splits_are_disjoint_whole_and_repeatable() {
        let data = made(101, 4);
        for split in [data.split(0.7, Seed(3)).unwrap(), data.split_stratified(0.7, Seed(3)).unwrap()] {
            let mut all: Vec<f32> = [split.train.samples().as_slice(), split.test.samples().as_slice()].concat();
            all.sort_by(f32::total_cmp);
            assert_eq!(all, data.samples().as_slice());
            for side in [&split.train, &split.test] {
                let kept = side.samples().as_slice().iter().zip(side.labels()).all(|(v, l)| *v as u32 % 4 == *l);
                assert!(kept, "labels stay with their samples");
            }
        }
        assert_eq!(data.split(0.5, Seed(1)).unwrap(), data.split(0.5, Seed(1)).unwrap());
        assert_ne!(data.split(0.5, Seed(1)).unwrap(), data.split(0.5, Seed(2)).unwrap());
    }

    #[test]
    fn stratified_splits_keep_proportions() {
        let split = made(100, 4).split_stratified(0.8, Seed(0)).unwrap();
        assert_eq!(split.train.class_counts(), [20; 4]);
        assert_eq!(split.test.class_counts(), [5; 4]);
        let all = made(100, 4).split_stratified(1.0, Seed(0)).unwrap();
        assert!(all.test.is_empty());
    }

    #[test]
    fn classes_can_be_picked_and_renumbered() {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let picked = made(6, 3).with_names(names).unwrap().of_classes(&[2, 0]).unwrap();
        assert_eq!(picked.labels(), [1, 0, 1, 0]);
        assert_eq!(picked.samples().as_slice(), [0.0, 2.0, 3.0, 5.0]);
        assert_eq!(picked.names(), ["c", "a"]);
        assert!(made(6, 3).of_classes(&[3]).is_err() && made(6, 3).of_classes(&[1, 1]).is_err());
    }

    #[test]
    fn refuses_labels_that_do_not_fit() {
        let samples = || Samples::new(vec![0.0; 2], &[1]).unwrap();
        let error = LabelledSamples::new(samples(), vec![0, 2], 2).unwrap_err();
        assert_eq!(error.to_string(), "labels[1] = 2, wanted a class below 2");
        assert!(LabelledSamples::new(samples(), vec![0], 2).is_err());
        assert!(made(4, 2).split(1.5, Seed(0)).is_err() && made(4, 2).split_stratified(f64::NAN, Seed(0)).is_err());
        assert!(made(4, 2).with_names(vec![]).is_err());
    }

    #[test]
    fn both_sides_are_standardised_by_the_training_side() {
        let split = made(100, 4).split(0.5, Seed(0)).unwrap().standardized().unwrap();
        let mean = |s: &LabelledSamples| s.samples().as_slice().iter().sum::<f32>() / s.len() as f32;
        assert!(mean(&split.train).abs() < 1e-5 && mean(&split.test).abs() > 1e-4);
    }
}
