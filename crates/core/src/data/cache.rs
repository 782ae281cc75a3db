//! Where fetched data lies.

use std::env;
use std::path::PathBuf;

use crate::{Error, Result};

/// The cache folder: `$CONSILIENCE_CACHE`, else `$XDG_CACHE_HOME/consilience`, else `~/.cache/consilience`. It need not
/// exist yet.
///
/// # Errors
/// None of these variables, nor `HOME`, is set.
pub fn cache_folder() -> Result<PathBuf> {
    choose(|name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
}

fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    variable("CONSILIENCE_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|v| v.join("consilience")))
        .or_else(|| variable("HOME").or_else(|| variable("USERPROFILE")).map(|v| v.join(".cache/consilience")))
        .ok_or_else(|| {
            Error::data("the cache folder", "cannot be told: neither HOME nor XDG_CACHE_HOME is set")
                .with_help("set CONSILIENCE_CACHE to a folder")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_order() {
        let with = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
            choose(move |name| set.iter().any(|s| s == name).then(|| PathBuf::from("/").join(name.to_lowercase())))
        };
        assert_eq!(with(&["CONSILIENCE_CACHE", "HOME"]).unwrap(), PathBuf::from("/consilience_cache"));
        assert_eq!(with(&["XDG_CACHE_HOME", "HOME"]).unwrap(), PathBuf::from("/xdg_cache_home/consilience"));
        assert_eq!(with(&["HOME"]).unwrap(), PathBuf::from("/home/.cache/consilience"));
        assert!(with(&[]).is_err());
    }
}
