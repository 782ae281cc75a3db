//! What is searched, as people write it: `lambda=0.1:1,density=0.2/0.5`.

use std::fmt;
use std::str::FromStr;

use consilience_core::{Error, Result};

/// A parameter that is searched, and the values that it may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// The parameter's name.
    pub name: String,
    /// The entry of `models` whose parameter it is, counted from 0; `None` for the parameter at the top of the configuration.
    pub model: Option<usize>,
    /// Its values.
    pub domain: Domain,
}

/// The values of a parameter, before its type is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// `LOW:HIGH`, both included, then perhaps a number of points for grids, and `log` for equal ratios instead of equal
    /// differences.
    Range {
        /// The lower end, as written.
        low: String,
        /// The upper end, as written.
        high: String,
        /// How many values a grid takes.
        points: Option<usize>,
        /// Whether values are spread evenly over the logarithms.
        log: bool,
    },
    /// `A/B/C`, or `{A,B,C}`: these alone, as written.
    List(Vec<String>),
}

const FORM: &str = "NAME=LOW:HIGH, NAME=LOW:HIGH:POINTS, NAME=LOW:HIGH:log or NAME=A/B/C, several separated by commas; NAME is a \
                    parameter of the method, or NAME.0, NAME.1, … that of a single model";

impl Dimension {
    /// Reads dimensions, each text one or several of them.
    ///
    /// # Errors
    /// Text of another form, and a parameter that stands twice; all at once.
    pub fn parse_all(texts: &[impl AsRef<str>]) -> Result<Vec<Self>> {
        let (mut found, mut faults): (Vec<Self>, Vec<Error>) = (Vec::new(), Vec::new());
        for part in texts.iter().flat_map(|text| parts(text.as_ref())) {
            match part.parse::<Self>() {
                Ok(dimension) if found.iter().any(|other| other.key() == dimension.key()) => {
                    let problem = format!("`{}` stands twice", dimension.key());
                    faults.push(Error::data("--over", problem).with_help("give each parameter once"));
                }
                Ok(dimension) => found.push(dimension),
                Err(fault) => faults.push(fault),
            }
        }
        if found.is_empty() && faults.is_empty() {
            faults.push(Error::parameter("--over", "nothing", FORM));
        }
        Error::all(faults).map(|()| found)
    }

    /// What it is called: `lambda`, `weight.0`.
    pub fn key(&self) -> String {
        match self.model {
            None => self.name.clone(),
            Some(model) => format!("{}.{model}", self.name),
        }
    }
}

/// The parts of a text between commas that stand in no braces.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

impl FromStr for Dimension {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::parameter("--over", text, FORM);
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        let (name, model) = match key.trim().rsplit_once('.') {
            Some((name, number)) => (name, Some(number.parse().map_err(|_| wrong())?)),
            None => (key.trim(), None),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        let domain = domain(values.trim()).ok_or_else(wrong)?;
        Ok(Self { name: name.to_owned(), model, domain })
    }
}

fn domain(text: &str) -> Option<Domain> {
    let braced = [('{', '}'), ('[', ']')]
        .into_iter()
        .find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close).map(|inner| (inner, ',')));
    let (inner, separator) = braced.unwrap_or((text, '/'));
    if braced.is_none() && inner.contains(':') {
        let mut parts = inner.split(':').map(str::trim);
        let (low, high) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let (mut points, mut log) = (None, false);
        for part in parts {
            match part {
                "log" if !log => log = true,
                number if points.is_none() && !log => points = Some(number.parse().ok().filter(|points| *points > 0)?),
                _ => return None,
            }
        }
        return (!low.is_empty() && !high.is_empty()).then_some(Domain::Range { low, high, points, log });
    }
    let values: Vec<String> = inner.split(separator).map(|value| value.trim().to_owned()).collect();
    values.iter().all(|value| !value.is_empty()).then_some(Domain::List(values))
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.key())?;
        match &self.domain {
            Domain::Range { low, high, points, log } => {
                write!(f, "{low}:{high}")?;
                points.map_or(Ok(()), |points| write!(f, ":{points}"))?;
                if *log { f.write_str(":log") } else { Ok(()) }
            }
            Domain::List(values) => f.write_str(&values.join("/")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let found = Dimension::parse_all(&[text]).unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn all_forms() {
        assert_eq!(read("lambda=0.1:1.0,density=0.2:0.9"), "lambda=0.1:1.0 density=0.2:0.9");
        assert_eq!(read(" a = 1e-3:1:5:log , b.2=1/2/ 3,"), "a=1e-3:1:5:log b.2=1/2/3");
        assert_eq!(read("a={0.3,0.5},b=[true, false],c=0.7"), "a=0.3/0.5 b=true/false c=0.7");
        assert_eq!(read("a=-1:1:log"), "a=-1:1:log");
        let several = Dimension::parse_all(&["a=1:2", "b=3"]).unwrap();
        assert_eq!((several.len(), several[0].model, several[1].key()), (2, None, "b".to_owned()));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["a", "=1:2", "a.x=1:2", "a=1:2:0", "a=1:2:x", "a=1:2:log:3", "a=:2", "a=", "a=1//2", "a={1,}"] {
            let fault = Dimension::parse_all(&[text]).unwrap_err().to_string();
            assert!(fault.starts_with(&format!("--over = {text}, wanted NAME=LOW:HIGH")), "{text}: {fault}");
        }
        assert!(Dimension::parse_all(&[""]).unwrap_err().to_string().starts_with("--over = nothing"));
        let Error::Several(faults) = Dimension::parse_all(&["a=1,a=2,b.0=1,b.0=2"]).unwrap_err() else { panic!() };
        assert_eq!(faults[1].to_string(), "--over: `b.0` stands twice");
    }
}
