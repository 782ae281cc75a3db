//! Examples that are arrays: pixels, token ids, numbers.

use std::path::Path;

use consilience_core::samples::{Array, ArrayFile, ArrayInfo, NumberKind};
use consilience_core::{Error, Progress, Result, Samples, Seed};

use super::pixels::{self, PixelLayout};
use super::{ExampleSource, Labels, Wanted, parallel};

/// Arrays that are the examples where nothing else is said.
const INPUTS: [&str; 5] = ["x", "images", "inputs", "input_ids", "pixel_values"];

/// Arrays that are the labels where nothing else is said.
const LABELS: [&str; 2] = ["y", "labels"];

/// The array that is 1 for a token and 0 for padding.
const MASK: &str = "attention_mask";

/// The array of the kinds of tokens.
const TYPES: &str = "token_type_ids";

/// Whether the file has labels under one of their usual names.
pub(super) fn has_labels(path: &Path) -> Result<bool> {
    let file = ArrayFile::open(path)?;
    Ok(file.arrays().iter().any(|array| LABELS.contains(&array.name.as_str())))
}

/// The array of the examples in a `.npz` or `.npy` file, and the labels beside it.
pub(super) fn read(
    source: &ExampleSource,
    wanted: &Wanted<'_>,
    with_labels: bool,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<(Samples, Labels)> {
    if let (Wanted::Texts { .. }, Some(length)) = (wanted, source.length) {
        return Err(Error::parameter("length", length, "nothing for token ids: they are cut when they are made"));
    }
    let file = ArrayFile::open(&source.path)?;
    let info = inputs(source, &file, wanted)?;
    let count = info.shape.first().copied().unwrap_or(0);
    if count == 0 {
        return Err(Error::data(source.path.display().to_string(), "holds no examples"));
    }
    let labels = if with_labels { Some(labels(source, &file, count)?) } else { None };
    let array = file.read(&info.name)?;
    let chosen = source.chosen(count, seed);
    let samples = match wanted {
        Wanted::Images { shape, preprocessing } => pixels::read(&array, &chosen, *shape, preprocessing, progress)?,
        Wanted::Texts { .. } => {
            let beside =
                |name: &str| file.arrays().iter().any(|array| array.name == name).then(|| file.read(name)).transpose();
            texts(&array, beside(MASK)?.as_ref(), beside(TYPES)?.as_ref(), &chosen, progress)?
        }
        Wanted::Numbers => {
            let one = |(): &mut (), number: usize, out: &mut [f32]| {
                array.read_row(chosen[number], out)?;
                check_finite(&array, chosen[number], out)
            };
            let shape = array.shape().get(1..).unwrap_or_default();
            parallel::fill("reading arrays", (chosen.len(), shape), || (), one, progress)?
        }
    };
    let numbers = labels.map(|labels| chosen.iter().map(|&number| labels[number]).collect());
    Ok((samples, Labels { numbers, names: None }))
}

/// Refuses NaN and infinite values in sample `row`.
pub(super) fn check_finite(array: &Array, row: usize, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            argument: array.label().to_owned(),
            found: values[at].to_string(),
            position: format!("sample {row}, value {at}"),
        }),
    }
}

/// The array of the examples.
fn inputs<'f>(source: &ExampleSource, file: &'f ArrayFile, wanted: &Wanted<'_>) -> Result<&'f ArrayInfo> {
    let arrays = file.arrays();
    let named = |name: &str| arrays.iter().find(|array| array.name == name);
    let unfit = |array: &ArrayInfo| {
        let label = match array.name.as_str() {
            "" => source.path.display().to_string(),
            name => format!("{}, array {name}", source.path.display()),
        };
        Error::shape(label, &array.shape, format!("{} {}", shape_of(wanted), kind_of(wanted)))
    };
    if let Some(name) = &source.inputs {
        return match named(name) {
            Some(array) if fits(array, wanted) => Ok(array),
            Some(array) => Err(unfit(array)),
            None => Err(missing(&source.path, "inputs", name, arrays)),
        };
    }
    let usual = INPUTS.iter().filter_map(|name| named(name)).find(|array| fits(array, wanted));
    if let Some(array) = usual {
        return Ok(array);
    }
    let label = source.labels.as_deref();
    let others = |array: &&ArrayInfo| {
        ![MASK, TYPES].contains(&array.name.as_str())
            && label != Some(array.name.as_str())
            && !LABELS.contains(&array.name.as_str())
            && fits(array, wanted)
    };
    let fitting: Vec<&ArrayInfo> = arrays.iter().filter(others).collect();
    match (fitting.as_slice(), arrays) {
        ([array], _) => Ok(*array),
        ([], [array]) => Err(unfit(array)),
        (found, _) => {
            let many = if found.is_empty() { "no array" } else { "several arrays" };
            let problem = format!("{many} of the shape {} {}", shape_of(wanted), kind_of(wanted));
            Err(Error::data(source.path.display().to_string(), problem)
                .with_help(format!("set `inputs` to one of: {}", described(arrays))))
        }
    }
}

fn fits(array: &ArrayInfo, wanted: &Wanted<'_>) -> bool {
    match (wanted, array.shape.as_slice()) {
        (_, []) => false,
        (Wanted::Images { shape, .. }, [_, sample @ ..]) => PixelLayout::of(sample, *shape).is_some(),
        (Wanted::Texts { .. }, shape) => shape.len() == 2 && shape[1] > 0 && array.kind != NumberKind::Floats,
        (Wanted::Numbers, _) => true,
    }
}

fn shape_of(wanted: &Wanted<'_>) -> String {
    match wanted {
        Wanted::Images { shape: [c, h, w], .. } => format!("[n, {c}, {h}, {w}], [n, {h}, {w}, {c}] or [n, {h}, {w}]"),
        Wanted::Texts { .. } => "[n, length]".to_owned(),
        Wanted::Numbers => "[n, …]".to_owned(),
    }
}

fn kind_of(wanted: &Wanted<'_>) -> &'static str {
    match wanted {
        Wanted::Images { .. } => "with pixels, of this size or another",
        Wanted::Texts { .. } => "with token ids",
        Wanted::Numbers => "with numbers",
    }
}

/// The label of each example.
fn labels(source: &ExampleSource, file: &ArrayFile, count: usize) -> Result<Vec<u32>> {
    let arrays = file.arrays();
    let named = |name: &str| arrays.iter().find(|array| array.name == name);
    let found = match &source.labels {
        Some(name) => named(name).ok_or_else(|| missing(&source.path, "labels", name, arrays))?,
        None => LABELS.iter().find_map(|name| named(name)).ok_or_else(|| {
            let problem = "labels are wanted, and there is neither an array `y` nor `labels`";
            Error::data(source.path.display().to_string(), problem)
                .with_help(format!("set `labels` to one of: {}", described(arrays)))
        })?,
    };
    let labels = file.read(&found.name)?;
    let numbers = labels.to_labels()?;
    match numbers.len() == count {
        true => Ok(numbers),
        false => Err(Error::shape(labels.label(), labels.shape(), format!("[{count}], one for each example"))),
    }
}

fn missing(path: &Path, setting: &str, name: &str, arrays: &[ArrayInfo]) -> Error {
    Error::data(path.display().to_string(), format!("holds no array `{name}`"))
        .with_help(format!("set `{setting}` to one of: {}", described(arrays)))
}

fn described(arrays: &[ArrayInfo]) -> String {
    arrays.iter().map(|array| format!("`{}` {:?}", array.name, array.shape)).collect::<Vec<_>>().join(", ")
}

/// Token ids and their mask as samples `[2, length]`; without a mask all are tokens. Where tokens are of several kinds, these
/// follow, `[3, length]`.
fn texts(
    ids: &Array,
    mask: Option<&Array>,
    types: Option<&Array>,
    chosen: &[usize],
    progress: &dyn Progress,
) -> Result<Samples> {
    if let Some(other) = mask.into_iter().chain(types).find(|other| other.shape() != ids.shape()) {
        return Err(Error::shape(other.label(), other.shape(), format!("{:?}, that of the token ids", ids.shape())));
    }
    let length = ids.width();
    let types = match types {
        Some(types) => several(types, chosen)?.then_some(types),
        None => None,
    };
    let one = |(): &mut (), number: usize, out: &mut [f32]| {
        let (tokens, rest) = out.split_at_mut(length);
        let (present, kinds) = rest.split_at_mut(length);
        ids.read_row(chosen[number], tokens)?;
        match mask {
            Some(mask) => mask.read_row(chosen[number], present)?,
            None => present.fill(1.0),
        }
        types.map_or(Ok(()), |types| types.read_row(chosen[number], kinds))
    };
    let rows = if types.is_some() { 3 } else { 2 };
    parallel::fill("reading token ids", (chosen.len(), &[rows, length]), || (), one, progress)
}

/// Whether any token is of another kind than the first.
fn several(types: &Array, chosen: &[usize]) -> Result<bool> {
    let mut row = vec![0.0; types.width()];
    for &number in chosen {
        types.read_row(number, &mut row)?;
        if row.iter().any(|kind| *kind != 0.0) {
            return Ok(true);
        }
    }
    Ok(false)
}
