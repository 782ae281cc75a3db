//! Samples made by all threads, the same whatever their number.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use consilience_core::{Error, Progress, Result, Samples, Unit};
use rayon::prelude::*;

/// `count` samples of `shape`, each filled by `fill` with a thread's `state`.
///
/// Of several faults the one of the earliest sample is told. `progress` counts samples, under `task`.
pub(super) fn fill<S>(
    task: &str,
    (count, shape): (usize, &[usize]),
    state: impl Fn() -> S + Sync + Send,
    fill: impl Fn(&mut S, usize, &mut [f32]) -> Result<()> + Sync + Send,
    progress: &dyn Progress,
) -> Result<Samples> {
    let width: usize = shape.iter().product();
    if width == 0 {
        return Err(Error::shape("examples", shape, "no axis of extent 0"));
    }
    let mut values: Vec<f32> = Vec::new();
    let size = count.checked_mul(width).filter(|size| values.try_reserve_exact(*size).is_ok());
    let Some(size) = size else {
        let problem = format!("{count} of the shape {shape:?} do not fit into memory");
        return Err(Error::data("examples", problem).with_help("set `limit`"));
    };
    values.resize(size, 0.0);
    each(task, values.par_chunks_exact_mut(width), state, fill, progress)?;
    Samples::new(values, shape)
}

/// Works on each of `items` with a thread's `state`. Faults and progress as in [`fill`].
pub(super) fn each<S, I: IndexedParallelIterator>(
    task: &str,
    items: I,
    state: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, usize, I::Item) -> Result<()> + Sync + Send,
    progress: &dyn Progress,
) -> Result<()> {
    let (first, fault) = (AtomicUsize::new(usize::MAX), Mutex::new(None));
    progress.begin(task, items.len() as u64, Unit::Steps);
    items.enumerate().for_each_init(state, |state, (number, item)| {
        if number > first.load(Ordering::Relaxed) {
            return;
        }
        let done = if progress.stopped() { Err(Error::Stopped) } else { work(state, number, item) };
        match done {
            Ok(()) => progress.advance(1),
            Err(error) => {
                let mut fault = fault.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                if number < first.load(Ordering::Relaxed) {
                    first.store(number, Ordering::Relaxed);
                    *fault = Some(error);
                }
            }
        }
    });
    progress.end();
    match fault.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use consilience_core::testing::Recorder;

    use super::*;

    fn numbered(count: usize, fails: impl Fn(usize) -> bool + Sync + Send, progress: &Recorder) -> Result<Samples> {
        let one = |_: &mut (), number: usize, out: &mut [f32]| {
            out.fill(number as f32);
            if fails(number) { Err(Error::data(format!("sample {number}"), "bad")) } else { Ok(()) }
        };
        fill("counting", (count, &[2]), || (), one, progress)
    }

    #[test]
    fn samples_keep_their_order_and_the_first_fault_is_told() {
        let progress = Recorder::default();
        let samples = numbered(100, |_| false, &progress).unwrap();
        assert_eq!(samples.row(99), Some(&[99.0, 99.0][..]));
        assert_eq!((progress.tasks(), progress.advanced(), progress.ended()), (vec![("counting".into(), 100)], 100, 1));
        for _ in 0..20 {
            let error = numbered(500, |number| number >= 37, &Recorder::default()).unwrap_err();
            assert_eq!(error.to_string(), "sample 37: bad");
        }
    }

    #[test]
    fn stops_when_asked() {
        let progress = Recorder::stopping_after(3);
        assert!(matches!(numbered(100, |_| false, &progress), Err(Error::Stopped)));
        assert_eq!(progress.ended(), 1);
    }
}
