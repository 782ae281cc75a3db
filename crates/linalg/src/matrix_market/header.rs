//! The first lines of a file.

/// What the numbers are laid out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A line an entry: row, column, value.
    Coordinate,
    /// A line a value, column by column.
    Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Real,
    Integer,
    /// No values: every entry is 1.
    Pattern,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symmetry {
    General,
    /// Only one of the entries (i, j) and (j, i) is given.
    Symmetric,
    /// The same, with the other sign.
    Skew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub layout: Layout,
    pub field: Field,
    pub symmetry: Symmetry,
}

impl Header {
    /// From the first line, or what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
        let [banner, object, layout, field, symmetry] = &words[..] else {
            return Err(match line.to_ascii_lowercase().starts_with("%%matrixmarket") {
                true => format!(
                    "the first line has {} words, wanted 5: `%%MatrixMarket matrix coordinate real general`",
                    words.len()
                ),
                false => "this is no Matrix Market file: it does not begin with `%%MatrixMarket matrix`".into(),
            });
        };
        if banner != "%%matrixmarket" {
            return Err("this is no Matrix Market file: it does not begin with `%%MatrixMarket matrix`".into());
        }
        if object != "matrix" {
            return Err(format!("the object is `{object}`, wanted `matrix`"));
        }
        let layout = match layout.as_str() {
            "coordinate" => Layout::Coordinate,
            "array" => Layout::Array,
            other => return Err(format!("the format is `{other}`, wanted `coordinate` or `array`")),
        };
        let field = match field.as_str() {
            "real" | "double" => Field::Real,
            "integer" | "unsigned-integer" => Field::Integer,
            "pattern" if layout == Layout::Coordinate => Field::Pattern,
            "pattern" => return Err("an array of `pattern` has no values".into()),
            "complex" => return Err("the matrix is complex, wanted `real`, `integer` or `pattern`".into()),
            other => return Err(format!("the field is `{other}`, wanted `real`, `integer` or `pattern`")),
        };
        let symmetry = match symmetry.as_str() {
            "general" => Symmetry::General,
            // A Hermitian matrix of real numbers is symmetric.
            "symmetric" | "hermitian" => Symmetry::Symmetric,
            "skew-symmetric" => Symmetry::Skew,
            other => {
                return Err(format!("the symmetry is `{other}`, wanted `general`, `symmetric` or `skew-symmetric`"));
            }
        };
        Ok(Self { layout, field, symmetry })
    }
}
