//! `--device`: where networks run.
//!
//! The processor is always there; the other backends of Burn are features of this crate, named as here.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;
use consilience_core::{Error, Result};

/// A backend, and which of its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    backend: Backend,
    /// Counted from 0; `None` lets the backend choose.
    index: Option<usize>,
}

/// What `--device` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Backend {
    /// The processor.
    #[default]
    Cpu,
    /// The first of the others that this program was built with.
    Gpu,
    Cuda,
    Rocm,
    Metal,
    Vulkan,
    Wgpu,
}

const BACKENDS: [(&str, Backend, bool); 7] = [
    ("cpu", Backend::Cpu, true),
    ("gpu", Backend::Gpu, true),
    ("cuda", Backend::Cuda, cfg!(feature = "cuda")),
    ("rocm", Backend::Rocm, cfg!(feature = "rocm")),
    ("metal", Backend::Metal, cfg!(feature = "metal")),
    ("vulkan", Backend::Vulkan, cfg!(feature = "vulkan")),
    ("wgpu", Backend::Wgpu, cfg!(feature = "wgpu")),
];

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = BACKENDS.iter().map(|(name, ..)| *name).collect();
        let wrong =
            || format!("{text:?} is no device; wanted {}, or one of them with a number: cuda:1", names.join(", "));
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let found = BACKENDS.iter().find(|(known, ..)| *known == name);
        let backend = found.map(|(_, backend, _)| *backend).ok_or_else(wrong)?;
        if backend == Backend::Cpu && index.is_some() {
            return Err(format!("{text:?} is no device: there is one processor, `cpu`, whose threads -j limits"));
        }
        Ok(Self { backend, index })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.index.map_or(Ok(()), |index| write!(f, ":{index}"))
    }
}

impl Device {
    /// The device, which is there and computes.
    ///
    /// Errors: a backend that this program was built without; one that finds no device of its own on this machine.
    pub fn open(self) -> Result<burn::tensor::Device> {
        let missing = || {
            let built = BACKENDS.iter().filter(|(_, backend, here)| *here && *backend != Backend::Gpu);
            let built: Vec<&str> = built.map(|(name, ..)| *name).collect();
            let feature = if self.backend == Backend::Gpu { "cuda" } else { self.name() };
            Error::data(format!("--device {self}"), format!("this program was built for {} alone", built.join(", ")))
                .with_help(format!("build it with `--features {feature}`"))
        };
        let device = self.chosen().ok_or_else(missing)?;
        if self.backend != Backend::Cpu {
            computes(&device).map_err(|problem| {
                Error::data(format!("--device {self}"), format!("no such device computes on this machine: {problem}"))
                    .with_help("leave --device out to run on the processor")
            })?;
        }
        Ok(device)
    }

    fn name(self) -> &'static str {
        BACKENDS.iter().find(|(_, backend, _)| *backend == self.backend).map_or("cpu", |(name, ..)| *name)
    }

    /// The device, if its backend was built in.
    fn chosen(self) -> Option<burn::tensor::Device> {
        match self.backend {
            Backend::Cpu => Some(burn::tensor::Device::flex()),
            Backend::Gpu => {
                let mut others =
                    BACKENDS.iter().filter(|(_, backend, _)| !matches!(backend, Backend::Cpu | Backend::Gpu));
                others.find_map(|(_, backend, _)| Self { backend: *backend, ..self }.chosen())
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda => Some(burn::tensor::Device::cuda(index(self.index))),
            #[cfg(feature = "rocm")]
            Backend::Rocm => Some(burn::tensor::Device::rocm(index(self.index))),
            #[cfg(feature = "metal")]
            Backend::Metal => Some(burn::tensor::Device::metal(kind(self.index))),
            #[cfg(feature = "vulkan")]
            Backend::Vulkan => Some(burn::tensor::Device::vulkan(kind(self.index))),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => Some(burn::tensor::Device::wgpu(kind(self.index))),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }
}

#[cfg(any(feature = "cuda", feature = "rocm"))]
fn index(index: Option<usize>) -> burn::tensor::DeviceIndex {
    index.map_or(burn::tensor::DeviceIndex::Default, Into::into)
}

#[cfg(any(feature = "metal", feature = "vulkan", feature = "wgpu"))]
fn kind(index: Option<usize>) -> burn::tensor::DeviceKind {
    index.map_or(burn::tensor::DeviceKind::DefaultDevice, burn::tensor::DeviceKind::DiscreteGpu)
}

/// Adds two numbers on the device: backends panic where there is none.
fn computes(device: &burn::tensor::Device) -> Result<(), String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let add = || {
        let one = Tensor::<1>::ones([1], device);
        (one.clone() + one).into_data().iter::<f32>().collect::<Vec<f32>>()
    };
    let sum = std::panic::catch_unwind(std::panic::AssertUnwindSafe(add));
    std::panic::set_hook(hook);
    match sum {
        Ok(sum) if sum == [2.0] => Ok(()),
        Ok(sum) => Err(format!("1 + 1 gave {sum:?}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("it cannot be opened").lines().next().unwrap_or_default().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_written() {
        for text in ["cpu", "gpu", "cuda", "cuda:1", "wgpu:0", "vulkan", "metal", "rocm:3"] {
            assert_eq!(text.parse::<Device>().map(|device| device.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Device::default().to_string(), "cpu");
        for text in ["", "tpu", "cuda:", "cuda:x", "cpu:1", "CUDA"] {
            assert!(text.parse::<Device>().unwrap_err().contains("is no device"), "{text}");
        }
    }

    #[test]
    fn the_processor_computes_and_other_backends_are_built_in_or_refused() {
        assert_eq!(Device::default().open().unwrap(), burn::tensor::Device::flex());
        assert_eq!(computes(&burn::tensor::Device::flex()), Ok(()));
        for (name, _, built) in BACKENDS.iter().filter(|(_, _, built)| !built) {
            let fault = name.parse::<Device>().unwrap().open().unwrap_err().to_string();
            assert!(
                !built && fault.starts_with(&format!("--device {name}: this program was built for cpu")),
                "{fault}"
            );
        }
    }
}
