//! How a model wants its images: `preprocessor_config.json`.

use std::path::{Path, PathBuf};

use consilience_core::{Error, Result};
use serde_json::{Map, Value};

/// What is done to the pixels of an image before a network takes it in: resized, cropped, scaled, normalised, in this
/// order, as the processors of `transformers` do.
///
/// Images become three channels first: grey is repeated, and what is transparent laid over white. The orientation that a camera noted
/// beside the pixels is not applied. Default: that of CLIP, for 224 by 224 pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// The size that images are brought to; `None` leaves them.
    pub resize: Option<Resize>,
    /// How pixels between pixels are found. The kernel is widened where images become smaller, as Pillow does.
    pub resampling: Resampling,
    /// Height and width of the part around the centre that is kept, filled up with black; `None` keeps all.
    pub crop: Option<[usize; 2]>,
    /// What pixels, 0 to 255, are multiplied by.
    pub scale: f32,
    /// What is subtracted from the scaled values of each channel.
    pub mean: [f32; 3],
    /// What the differences are divided by.
    pub std: [f32; 3],
}

/// The size that images are brought to, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side gets this length, and the longer one what keeps their ratio, rounded down.
    Shortest(usize),
    /// Whatever the ratio was.
    Exact {
        /// The height.
        height: usize,
        /// The width.
        width: usize,
    },
}

/// The kernels of Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// The nearest pixel.
    Nearest,
    /// The windowed sinc over three lobes.
    Lanczos,
    /// The triangle.
    Bilinear,
    /// The cubic with parameter -1/2 (Catmull and Rom).
    Bicubic,
    /// The mean.
    Box,
    /// The windowed sinc over one lobe, with Hamming's window.
    Hamming,
}

/// The mean and deviation of the colours of the images that CLIP was trained with.
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
const BYTE: f32 = 1.0 / 255.0;

/// A longer side of an image is not asked for by any model.
const LONGEST_SIDE: usize = 1 << 14;

impl Default for Preprocessing {
    fn default() -> Self {
        Self::clip(224)
    }
}

impl Preprocessing {
    fn clip(side: usize) -> Self {
        Self {
            resize: Some(Resize::Shortest(side)),
            resampling: Resampling::Bicubic,
            crop: Some([side; 2]),
            scale: BYTE,
            mean: CLIP_MEAN,
            std: CLIP_STD,
        }
    }

    fn vit(side: usize) -> Self {
        let resize = Some(Resize::Exact { height: side, width: side });
        Self { resize, resampling: Resampling::Bilinear, crop: None, scale: BYTE, mean: [0.5; 3], std: [0.5; 3] }
    }

    /// The preprocessing of the model in `folder`: from its `preprocessor_config.json` (or the `image_processor` of
    /// `processor_config.json`), written for `CLIPImageProcessor` or `ViTImageProcessor`, whose defaults stand for what the
    /// file leaves out. Without such a file it is CLIP's, for the `image_size` of `config.json`.
    ///
    /// # Errors
    /// [`Error::Format`], naming file and key: malformed, another processor, or values that mean nothing.
    pub fn of(folder: &Path) -> Result<Self> {
        let path = folder.join("preprocessor_config.json");
        if let Some(file) = read(&path)? {
            return Keys { path, map: &file }.preprocessing();
        }
        let path = folder.join("processor_config.json");
        if let Some(Value::Object(section)) = read(&path)?.and_then(|mut file| file.remove("image_processor")) {
            return Keys { path, map: &section }.preprocessing();
        }
        let path = folder.join("config.json");
        let Some(config) = read(&path)? else { return Ok(Self::default()) };
        let section = config.get("vision_config").and_then(Value::as_object).unwrap_or(&config);
        let side = Keys { path, map: section }.side("image_size")?;
        Ok(side.map_or_else(Self::default, Self::clip))
    }
}

/// A JSON object in a file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Map<String, Value>>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("cannot read", path, e)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| Error::format(path, format!("is no JSON object: {e}")))
}

/// The keys of a processor's file.
struct Keys<'v> {
    path: PathBuf,
    map: &'v Map<String, Value>,
}

impl Keys<'_> {
    fn preprocessing(&self) -> Result<Preprocessing> {
        let (mut made, square) = self.defaults()?;
        if let Some(size) = self.given("size") {
            made.resize = Some(self.size("size", size, square)?);
        }
        if !self.flag("do_resize")?.unwrap_or(true) {
            made.resize = None;
        }
        if let Some(number) = self.given("resample") {
            made.resampling = resampling(number)
                .ok_or_else(|| self.wrong("resample", number, "the number of one of Pillow's filters, 0 to 5"))?;
        }
        let crops = self.flag("do_center_crop")?.unwrap_or(made.crop.is_some());
        if let (Some(size), true) = (self.given("crop_size"), crops) {
            made.crop = match self.size("crop_size", size, true)? {
                Resize::Exact { height, width } => Some([height, width]),
                Resize::Shortest(_) => return Err(self.wrong("crop_size", size, "a number, or `height` and `width`")),
            };
        }
        if !crops {
            made.crop = None;
        } else if made.crop.is_none() {
            made.crop = Some([224; 2]);
        }
        if let Some(factor) = self.given("rescale_factor") {
            let factor = factor.as_f64().filter(|factor| *factor > 0.0 && *factor < 1e6);
            made.scale = factor
                .ok_or_else(|| self.wrong("rescale_factor", &self.map["rescale_factor"], "a number above 0"))?
                as f32;
        }
        if !self.flag("do_rescale")?.unwrap_or(true) {
            made.scale = 1.0;
        }
        made.mean = self.colour("image_mean")?.unwrap_or(made.mean);
        made.std = self.colour("image_std")?.unwrap_or(made.std);
        if made.std.iter().any(|std| *std <= 0.0) {
            return Err(self.wrong("image_std", &self.map["image_std"], "numbers above 0"));
        }
        if !self.flag("do_normalize")?.unwrap_or(true) {
            (made.mean, made.std) = ([0.0; 3], [1.0; 3]);
        }
        Ok(made)
    }

    /// What a processor does where the file is silent, and whether a single number for a size means a square.
    fn defaults(&self) -> Result<(Preprocessing, bool)> {
        let named =
            ["image_processor_type", "feature_extractor_type"].into_iter().find(|key| self.given(key).is_some());
        let Some(key) = named else { return Ok((Preprocessing::clip(224), false)) };
        let found = &self.map[key];
        let name = found.as_str().unwrap_or_default();
        let name = ["Fast", "Pil"].iter().fold(name, |name, ending| name.strip_suffix(ending).unwrap_or(name));
        match name {
            "CLIPImageProcessor" | "CLIPFeatureExtractor" => Ok((Preprocessing::clip(224), false)),
            "ViTImageProcessor" | "ViTFeatureExtractor" => Ok((Preprocessing::vit(224), true)),
            _ => Err(self.wrong(key, found, "\"CLIPImageProcessor\" or \"ViTImageProcessor\"").with_help(
                "preprocess the images with the model's own processor, and save the `pixel_values` in a .npz file",
            )),
        }
    }

    /// The value of a key, unless it is null.
    fn given(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.given(key).map(|v| v.as_bool().ok_or_else(|| self.wrong(key, v, "true or false"))).transpose()
    }

    fn side(&self, key: &str) -> Result<Option<usize>> {
        self.given(key).map(|value| self.length(key, value)).transpose()
    }

    fn length(&self, key: &str, value: &Value) -> Result<usize> {
        let length = value.as_u64().and_then(|length| usize::try_from(length).ok());
        length
            .filter(|length| (1..=LONGEST_SIDE).contains(length))
            .ok_or_else(|| self.wrong(key, value, format!("a number of pixels, 1 to {LONGEST_SIDE}")))
    }

    /// A size as a number or as an object.
    fn size(&self, key: &str, value: &Value, square: bool) -> Result<Resize> {
        let Value::Object(sides) = value else {
            let side = self.length(key, value)?;
            return Ok(if square { Resize::Exact { height: side, width: side } } else { Resize::Shortest(side) });
        };
        let side = |name| sides.get(name).filter(|side| !side.is_null()).map(|side| self.length(key, side)).transpose();
        match (side("shortest_edge")?, side("longest_edge")?, side("height")?, side("width")?) {
            (Some(shortest), None, None, None) => Ok(Resize::Shortest(shortest)),
            (None, None, Some(height), Some(width)) => Ok(Resize::Exact { height, width }),
            _ => Err(self.wrong(key, value, "a number, `shortest_edge`, or `height` and `width`")),
        }
    }

    /// A number for each channel.
    fn colour(&self, key: &str) -> Result<Option<[f32; 3]>> {
        let Some(value) = self.given(key) else { return Ok(None) };
        let number = |value: &Value| value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
        let channels = match value.as_array().map(Vec::as_slice) {
            Some([red, green, blue]) => number(red).zip(number(green)).zip(number(blue)).map(|((r, g), b)| [r, g, b]),
            Some(_) => None,
            None => number(value).map(|value| [value; 3]),
        };
        channels.map(Some).ok_or_else(|| self.wrong(key, value, "three numbers"))
    }

    fn wrong(&self, key: &str, found: &Value, wanted: impl std::fmt::Display) -> Error {
        Error::format(&self.path, format!("`{key}` is {found}, wanted {wanted}"))
    }
}

/// The filter with a number in Pillow.
fn resampling(number: &Value) -> Option<Resampling> {
    const FILTERS: [Resampling; 6] = [
        Resampling::Nearest,
        Resampling::Lanczos,
        Resampling::Bilinear,
        Resampling::Bicubic,
        Resampling::Box,
        Resampling::Hamming,
    ];
    FILTERS.get(usize::try_from(number.as_u64()?).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: &str, text: &str) -> Result<Preprocessing> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
        Preprocessing::of(folder.path())
    }

    #[test]
    fn clip_and_vit_files() {
        let clip = r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336, "resample": 3,
            "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;
        assert_eq!(of("preprocessor_config.json", clip).unwrap(), Preprocessing::clip(336));
        let new = r#"{"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 224},
            "crop_size": {"height": 224, "width": 224}, "rescale_factor": 0.00392156862745098, "do_pad": null}"#;
        assert_eq!(of("preprocessor_config.json", new).unwrap(), Preprocessing::default());
        let vit = r#"{"image_processor_type": "ViTImageProcessor", "size": 384, "resample": 2, "do_rescale": false}"#;
        let wanted = Preprocessing { scale: 1.0, ..Preprocessing::vit(384) };
        assert_eq!(of("preprocessor_config.json", vit).unwrap(), wanted);
        let plain = r#"{"image_processor": {"image_processor_type": "ViTImageProcessor", "do_normalize": false}}"#;
        let wanted = Preprocessing { mean: [0.0; 3], std: [1.0; 3], ..Preprocessing::vit(224) };
        assert_eq!(of("processor_config.json", plain).unwrap(), wanted);
    }

    #[test]
    fn without_a_file_the_model_tells_the_size() {
        let config = r#"{"model_type": "clip", "vision_config": {"image_size": 32}}"#;
        assert_eq!(of("config.json", config).unwrap(), Preprocessing::clip(32));
        assert_eq!(of("other", "").unwrap(), Preprocessing::default());
    }

    #[test]
    fn faults_name_file_and_key() {
        let fault = |text: &str| of("preprocessor_config.json", text).unwrap_err().to_string();
        for (text, problem) in [
            (
                r#"{"image_processor_type": "BlipImageProcessor"}"#,
                "`image_processor_type` is \"BlipImageProcessor\", wanted",
            ),
            (
                r#"{"size": {"longest_edge": 4}}"#,
                "`size` is {\"longest_edge\":4}, wanted a number, `shortest_edge`, or",
            ),
            (r#"{"size": 99999999}"#, "`size` is 99999999, wanted a number of pixels, 1 to 16384"),
            (r#"{"crop_size": 0}"#, "`crop_size` is 0, wanted a number of pixels"),
            (r#"{"resample": 9}"#, "`resample` is 9, wanted the number of one of Pillow's filters, 0 to 5"),
            (r#"{"do_resize": 1}"#, "`do_resize` is 1, wanted true or false"),
            (r#"{"image_std": [0.1, 0, 1]}"#, "`image_std` is [0.1,0,1], wanted numbers above 0"),
            (r#"{"image_mean": [0.1]}"#, "`image_mean` is [0.1], wanted three numbers"),
            (r#"{"rescale_factor": -1}"#, "`rescale_factor` is -1, wanted a number above 0"),
            ("[]", "is no JSON object"),
        ] {
            let found = fault(text);
            assert!(found.contains("preprocessor_config.json: ") && found.contains(problem), "{found}");
        }
    }
}
