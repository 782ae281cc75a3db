//! One output tensor: what it is merged from, and how.

use std::sync::{Arc, Mutex, PoisonError};

use consilience_checkpoint::{Checkpoint, CheckpointWriter, Dtype, Tensor, TensorView};
use consilience_core::{Error, Progress, Result};

use super::kernel::{COPY, Kernel};
use crate::kernels::{Group, Output, Sink};

/// One output tensor.
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is stored in.
    pub dtype: Dtype,
    /// Where it comes from.
    pub work: Work,
}

/// Where an output tensor comes from.
pub enum Work {
    /// A kernel over the inputs (the base among them, at this place).
    Merge {
        /// The inputs, in the order of the configuration.
        inputs: Vec<InputTensor>,
        /// Which of them is the base.
        base: Option<usize>,
        /// What makes one of them.
        kernel: Kernel,
    },
    /// Bytes that all inputs agree on: integers, booleans, and what only some models have.
    Keep(Vec<InputTensor>),
}

/// A stored tensor of one of the models.
#[derive(Clone, Debug)]
pub struct InputTensor {
    /// The model, as an index into the merge's checkpoints.
    pub model: usize,
    /// The tensor's name in it.
    pub name: Arc<str>,
}

impl InputTensor {
    /// The tensor, read or computed.
    ///
    /// Errors: the model has none of that name, or it cannot be computed.
    pub fn read<'c>(&self, checkpoints: &'c [Checkpoint]) -> Result<Tensor<'c>> {
        let tensor = checkpoints.get(self.model).map(|c| c.tensor(&self.name)).transpose()?.flatten();
        tensor.ok_or_else(|| {
            let argument = checkpoints.get(self.model).map_or(String::new(), Checkpoint::label);
            Error::data(argument, format!("there is no tensor `{}`", self.name))
        })
    }

    fn label(&self, checkpoints: &[Checkpoint]) -> String {
        let path = checkpoints.get(self.model).map_or(String::new(), Checkpoint::label);
        format!("{path}: tensor `{}`", self.name)
    }
}

/// The place of one tensor in an output on disk.
pub struct FileSink<'w> {
    /// The output.
    pub writer: &'w CheckpointWriter,
    /// The tensor's number in it.
    pub tensor: usize,
    /// Hears of every block, and may ask to stop.
    pub progress: &'w dyn Progress,
}

impl Sink for FileSink<'_> {
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.progress.stopped() {
            return Err(Error::Stopped);
        }
        self.writer.write(self.tensor, offset, bytes)?;
        self.progress.advance(bytes.len() as u64);
        Ok(())
    }
}

/// A tensor that is made in memory.
struct MemorySink(Mutex<Vec<u8>>);

impl Sink for MemorySink {
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut whole = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, length) = (usize::try_from(offset).unwrap_or(usize::MAX), whole.len());
        match whole.get_mut(start..start.saturating_add(bytes.len())) {
            Some(place) => place.copy_from_slice(bytes),
            None => {
                let wanted = format!("one that ends within the tensor's {length} bytes, from {offset} on");
                return Err(Error::shape("a block", [bytes.len()], wanted));
            }
        }
        Ok(())
    }
}

impl Job {
    /// Bytes of the result.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64
    }

    /// The tensor's bytes. Memory: these, and a few blocks a thread.
    ///
    /// Errors: as [`Job::run`].
    pub fn bytes_of(&self, checkpoints: &[Checkpoint], allow_nan: bool) -> Result<Vec<u8>> {
        let sink = MemorySink(Mutex::new(vec![0; self.bytes() as usize]));
        self.run(checkpoints, &sink, allow_nan)?;
        Ok(sink.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the tensor and puts it into `sink`. Memory: a few blocks a thread.
    ///
    /// Errors: the kernel's, naming model and tensor; the sink's.
    pub fn run(&self, checkpoints: &[Checkpoint], sink: &dyn Sink, allow_nan: bool) -> Result<()> {
        match &self.work {
            Work::Keep(inputs) => self.keep(inputs, checkpoints, sink),
            Work::Merge { inputs, base, kernel } => {
                let output = Output { dtype: self.dtype, sink };
                let tensors = inputs.iter().map(|input| input.read(checkpoints)).collect::<Result<Vec<_>>>()?;
                let views: Vec<TensorView<'_>> = tensors.iter().map(Tensor::view).collect();
                if let ([view], true) = (&views[..], kernel.is_copy() && allow_nan)
                    && view.dtype() == self.dtype
                {
                    return copy(view.bytes(), sink);
                }
                // Linear sums and means treat a base as one of the models; the others want it apart.
                let base = *base;
                let order: Vec<usize> = base.into_iter().chain((0..views.len()).filter(|i| Some(*i) != base)).collect();
                let models: Vec<TensorView<'_>> =
                    order.iter().skip(usize::from(base.is_some())).map(|i| views[*i]).collect();
                let names: Vec<String> = order.iter().map(|i| inputs[*i].label(checkpoints)).collect();
                let group = Group::new(base.map(|b| views[b]), &models, allow_nan)?.named(&names);
                if group.models() == 0 {
                    // Only the base has layers here: there is nothing to add to it.
                    return COPY.merge(&group, output).map_err(|e| self.fault(e));
                }
                kernel.merge(&group, output).map_err(|e| self.fault(e))
            }
        }
    }

    fn fault(&self, error: Error) -> Error {
        match error {
            Error::Stopped | Error::Io { .. } | Error::Several(_) | Error::Config(_) => error,
            Error::NotFinite { argument, found, position } if argument == "the merged tensor" => {
                Error::NotFinite { argument: format!("merging `{}`", self.name), found, position }
            }
            Error::NotFinite { argument, found, position } => {
                Error::data(argument, format!("{found} at {position}, wanted finite values"))
                    .with_help("--allow-nan lets NaN and infinite weights through")
            }
            other => Error::data(format!("merging `{}`", self.name), other.to_string()),
        }
    }

    fn keep(&self, inputs: &[InputTensor], checkpoints: &[Checkpoint], sink: &dyn Sink) -> Result<()> {
        let mut inputs_left = inputs.iter();
        let Some(first) = inputs_left.next() else { return Ok(()) };
        let tensor = first.read(checkpoints)?;
        let kept = tensor.view();
        for other in inputs_left {
            let tensor = other.read(checkpoints)?;
            let view = tensor.view();
            if view.dtype() != kept.dtype() || view.bytes() != kept.bytes() {
                return Err(Error::data(
                    first.label(checkpoints),
                    format!(
                        "differs from that of {}, and {} values cannot be merged",
                        other.label(checkpoints),
                        kept.dtype()
                    ),
                )
                .with_help("make the two agree, or take the tensor out of one of the models"));
            }
        }
        copy(kept.bytes(), sink)
    }
}

fn copy(bytes: &[u8], sink: &dyn Sink) -> Result<()> {
    const BLOCK: usize = 1 << 20;
    for (i, block) in bytes.chunks(BLOCK).enumerate() {
        sink.store((i * BLOCK) as u64, block)?;
    }
    Ok(())
}
