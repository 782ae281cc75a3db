//! `consilience data`.

use consilience_core::data::{self, Status};
use consilience_core::report::Table;
use consilience_core::{Error, Result};

use crate::bar::Bar;
use crate::cli::{self, DataAction};
use crate::terminal::{bytes, json, say};

/// Lists or fetches data sets.
pub fn run(arguments: &cli::Data, quiet: bool) -> Result<()> {
    match &arguments.action {
        DataAction::List { json: as_json } => list(*as_json),
        DataAction::Fetch { names, all } => fetch(names, *all, quiet),
    }
}

fn list(as_json: bool) -> Result<()> {
    let sets = data::list();
    if as_json {
        let list: Vec<_> = sets
            .iter()
            .map(|set| {
                serde_json::json!({ "name": set.name, "title": set.title, "bytes": set.bytes, "licence": set.licence,
                                    "source": set.source, "status": status(&set.status) })
            })
            .collect();
        return json(&list);
    }
    let mut rows = Table::new(["name", "what it holds", "size", "licence", "from", "status"]);
    for set in &sets {
        rows.push([
            set.name.to_string(),
            set.title.to_string(),
            bytes(set.bytes),
            set.licence.to_string(),
            set.source.to_string(),
            status(&set.status),
        ]);
    }
    say(rows.to_text());
    say(format_args!("fetched sets are kept in {}", data::cache_folder()?.display()));
    Ok(())
}

fn fetch(names: &[String], all: bool, quiet: bool) -> Result<()> {
    let sets = data::list();
    let wanted: Vec<String> = match all {
        true => sets.iter().filter(|set| set.status != Status::Embedded).map(|set| set.name.to_string()).collect(),
        false => names.to_vec(),
    };
    let bar = Bar::new(quiet);
    let mut faults = Vec::new();
    for name in &wanted {
        match data::fetch(name, &bar) {
            Ok(folder) if !quiet => say(format_args!("{name}: {}", folder.display())),
            Ok(_) => {}
            Err(Error::Stopped) => return Err(Error::Stopped),
            Err(fault) => faults.push(fault),
        }
    }
    Error::all(faults)
}

fn status(status: &Status) -> String {
    match status {
        Status::Embedded => "embedded".into(),
        Status::Fetched(folder) => format!("fetched: {}", folder.display()),
        Status::NotFetched => "not here yet: `consilience data fetch` brings it".into(),
    }
}
