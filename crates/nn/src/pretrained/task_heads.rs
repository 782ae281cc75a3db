//! The heads of tasks: read from files, frozen, never merged.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Error, Result};

use super::clip::PROJECTION;
use super::load::transpose;
use crate::{FrozenHead, Head, Tap};

/// The head of one task on the features of an encoder; no part of [`Parameters`](crate::Parameters).
#[derive(Module, Debug)]
// There is one for each task.
#[allow(clippy::large_enum_variant)]
pub enum TaskHead {
    /// Cosines with the classes' embeddings.
    Embeddings(ClassEmbeddings),
    /// A trained classifier.
    Classification(Classification),
}

/// Logits `scale * cos(features, embedding of the class)`, as in CLIP's zero-shot classification.
#[derive(Module, Debug)]
pub struct ClassEmbeddings {
    projection: Option<Tensor<2>>,
    classes: FrozenHead,
}

/// A classifier of texts as it is trained with a task: an optional layer with a hyperbolic tangent, then a linear one.
///
/// `BertForSequenceClassification` has its pooler for the first, `RobertaForSequenceClassification` its `classifier.dense`.
#[derive(Module, Debug)]
pub struct Classification {
    dense: Option<Affine>,
    out: Affine,
}

/// A linear layer that has no place among the parameters.
#[derive(Module, Debug)]
struct Affine {
    /// `[in, out]`.
    weight: Tensor<2>,
    /// `[1, out]`.
    bias: Tensor<2>,
}

impl TaskHead {
    /// The head in `path`: a safetensors file, or the folder of an expert, whose encoder is passed over.
    ///
    /// | Tensors | Head |
    /// |---|---|
    /// | `class_embeddings` `[classes, width]`, or a sole matrix | [`ClassEmbeddings`]; with `logit_scale` (of which the exponential counts) and `visual_projection.weight` where they are there |
    /// | `classifier.dense.*`, `classifier.out_proj.*` | [`Classification`] as in RoBERTa |
    /// | `classifier.*`, `pooler.dense.*` | [`Classification`] as in BERT |
    /// | `classifier.*` | [`Classification`] with one layer |
    ///
    /// `logit_scale` is the factor of cosines where the file does not have its own: see [`logit_scale`].
    ///
    /// Fails as [`Checkpoint::open`], with [`Error::Format`] where there is none of these, [`Error::Shape`] where the
    /// tensors do not fit, and [`Error::NotFinite`].
    pub fn open(path: impl AsRef<Path>, logit_scale: f64, device: &Device) -> Result<Self> {
        Self::of(&Checkpoint::open(path)?, logit_scale, device)
    }

    /// As [`TaskHead::open`] from what is open already.
    pub fn of(file: &Checkpoint, logit_scale: f64, device: &Device) -> Result<Self> {
        if let Some(name) = embeddings_in(file) {
            return ClassEmbeddings::of(file, name, logit_scale, device).map(Self::Embeddings);
        }
        Classification::of(file, device).map(Self::Classification)
    }
}

impl Head for TaskHead {
    fn forward(&self, features: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2> {
        match self {
            Self::Embeddings(head) => head.forward(features, tap),
            Self::Classification(head) => head.forward(features, tap),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Embeddings(head) => head.width(),
            Self::Classification(head) => head.width(),
        }
    }

    fn classes(&self) -> usize {
        match self {
            Self::Embeddings(head) => head.classes(),
            Self::Classification(head) => head.classes(),
        }
    }
}

/// The name of the matrix of class embeddings.
const EMBEDDINGS: &str = "class_embeddings";

/// The tensor of `file` that has the class embeddings, if it has any.
fn embeddings_in(file: &Checkpoint) -> Option<&str> {
    let is_matrix = |name: &&str| file.describe(name).is_some_and(|found| found.shape.len() == 2);
    let mut matrices = file.names().filter(|name| !PROJECTION.contains(name)).filter(is_matrix);
    match (file.describe(EMBEDDINGS), matrices.next(), matrices.next()) {
        (Some(_), _, _) => Some(EMBEDDINGS),
        (None, Some(only), None) if !only.starts_with("classifier.") => Some(only),
        _ => None,
    }
}

impl ClassEmbeddings {
    fn of(file: &Checkpoint, name: &str, logit_scale: f64, device: &Device) -> Result<Self> {
        let matrix = Matrix::read(file, name)?;
        let scale = self::logit_scale(file)?.unwrap_or(logit_scale);
        let classes = FrozenHead::cosine(matrix.transposed(), matrix.columns, matrix.rows, scale, device)
            .map_err(|fault| Error::format(file.path(), format!("tensor `{name}` (its transpose): {fault}")))?;
        let projection = PROJECTION.iter().find(|name| file.describe(name).is_some());
        let projection = projection.map(|name| Matrix::read(file, name)).transpose()?;
        if let Some(found) = projection.as_ref().filter(|found| found.rows != matrix.columns) {
            let wanted = format!("[{}, any], the width of `{name}`", matrix.columns);
            return Err(Error::shape(of(file, PROJECTION[0]), [found.rows, found.columns], wanted));
        }
        Ok(Self { projection: projection.map(|found| found.tensor_transposed(device)), classes })
    }
}

impl Head for ClassEmbeddings {
    fn forward(&self, features: Tensor<2>, tap: &mut dyn Tap) -> Tensor<2> {
        let features = match &self.projection {
            Some(projection) => features.matmul(projection.clone()),
            None => features,
        };
        self.classes.forward(features, tap)
    }

    fn width(&self) -> usize {
        match &self.projection {
            Some(projection) => projection.dims()[0],
            None => self.classes.width(),
        }
    }

    fn classes(&self) -> usize {
        self.classes.classes()
    }
}

impl Classification {
    fn of(file: &Checkpoint, device: &Device) -> Result<Self> {
        let has = |layer: &&str| file.describe(&format!("{layer}.weight")).is_some();
        let read = |layer: &str| Affine::read(file, layer, device);
        let head = if has(&"classifier.out_proj") {
            Self { dense: Some(read("classifier.dense")?), out: read("classifier.out_proj")? }
        } else if has(&"classifier") {
            let pooler = ["bert.pooler.dense", "pooler.dense"].into_iter().find(has);
            Self { dense: pooler.map(read).transpose()?, out: read("classifier")? }
        } else {
            let problem =
                "there is no head: no `class_embeddings`, no `classifier.weight`, no `classifier.out_proj.weight`";
            return Err(Error::format(file.path(), problem).with_help(
                "name a file with the class embeddings, or the folder of the task's fine-tuned classifier",
            ));
        };
        match &head.dense {
            Some(dense) if dense.outputs() != head.out.inputs() => {
                let wanted = format!("[{}, any], what the layer after it takes", head.out.inputs());
                Err(Error::shape(of(file, "the head's first layer"), [dense.outputs(), dense.inputs()], wanted))
            }
            _ => Ok(head),
        }
    }
}

impl Head for Classification {
    fn forward(&self, features: Tensor<2>, _tap: &mut dyn Tap) -> Tensor<2> {
        let features = match &self.dense {
            Some(dense) => dense.forward(features).tanh(),
            None => features,
        };
        self.out.forward(features)
    }

    fn width(&self) -> usize {
        self.dense.as_ref().unwrap_or(&self.out).inputs()
    }

    fn classes(&self) -> usize {
        self.out.outputs()
    }
}

impl Affine {
    fn read(file: &Checkpoint, layer: &str, device: &Device) -> Result<Self> {
        let weight = Matrix::read(file, &format!("{layer}.weight"))?;
        let name = format!("{layer}.bias");
        let (shape, bias) = values(file, &name)?;
        if shape != [weight.rows] {
            return Err(Error::shape(
                of(file, &name),
                shape,
                format!("[{}], an entry for each row of the weight", weight.rows),
            ));
        }
        let bias = Tensor::from_data(TensorData::new(bias, [1, weight.rows]), &device.clone().without_autodiff());
        Ok(Self { weight: weight.tensor_transposed(device), bias })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.clone()) + self.bias.clone()
    }

    fn inputs(&self) -> usize {
        self.weight.dims()[0]
    }

    fn outputs(&self) -> usize {
        self.weight.dims()[1]
    }
}

/// A matrix as it is stored.
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn read(file: &Checkpoint, name: &str) -> Result<Self> {
        let (shape, values) = values(file, name)?;
        match shape.as_slice() {
            &[rows, columns] if rows > 0 && columns > 0 => Ok(Self { rows, columns, values }),
            _ => Err(Error::shape(of(file, name), shape, "two axes, neither of extent 0")),
        }
    }

    fn transposed(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.values.len()];
        transpose(&self.values, self.rows, &mut values);
        values
    }

    fn tensor_transposed(&self, device: &Device) -> Tensor<2> {
        let data = TensorData::new(self.transposed(), [self.columns, self.rows]);
        Tensor::from_data(data, &device.clone().without_autodiff())
    }
}

/// Shape and values of a tensor that must be there, floating point and finite.
fn values(file: &Checkpoint, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let missing = || Error::format(file.path(), format!("tensor `{name}` of the head is missing"));
    let tensor = file.tensor(name)?.ok_or_else(missing)?;
    let view = tensor.view();
    if !view.dtype().is_float() {
        let problem = format!("it is {}, wanted floating point: F64, F32, F16 or BF16", view.dtype().name());
        return Err(Error::data(of(file, name), problem));
    }
    let mut values = vec![0.0; view.len()];
    view.read(0, &mut values);
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((at, value)) => Err(Error::NotFinite {
            argument: of(file, name),
            found: value.to_string(),
            position: format!("entry {at}"),
        }),
        None => Ok((view.shape().to_vec(), values)),
    }
}

fn of(file: &Checkpoint, name: &str) -> String {
    format!("{}: tensor `{name}`", file.path().display())
}

/// The factor of cosines in a CLIP model or a file of class embeddings: the exponential of its `logit_scale`, 100 in
/// OpenAI's models; `None` where there is no such tensor.
///
/// Fails with [`Error::Shape`] where it has several entries.
pub fn logit_scale(file: &Checkpoint) -> Result<Option<f64>> {
    const NAME: &str = "logit_scale";
    if file.describe(NAME).is_none() {
        return Ok(None);
    }
    match values(file, NAME)? {
        (_, values) if values.len() == 1 => Ok(Some(f64::from(values[0]).exp())),
        (shape, _) => Err(Error::shape(of(file, NAME), shape, "one entry")),
    }
}
