//! `consilience methods`.

use consilience_core::Result;
use consilience_core::report::Table;
use consilience_merging::config::{DefaultValue, METHODS, Scope};
use serde_json::json;

use crate::cli;
use crate::terminal::{json, say};

/// The verdicts of the last full run, as `make claims` wrote them.
const VERDICTS: &str = include_str!("../../../../docs/claims.md");

/// Lists the methods, or the merge methods with their parameters.
pub fn run(arguments: &cli::Methods) -> Result<()> {
    if arguments.merge { merge_methods(arguments.json) } else { all(arguments.json) }
}

fn all(as_json: bool) -> Result<()> {
    if as_json {
        let list: Vec<_> = consilience::claims()
            .map(|claim| {
                let paper = json!({ "title": claim.paper.title, "year": claim.paper.year, "arxiv": claim.paper.arxiv });
                json!({ "slug": claim.slug, "area": claim.area, "summary": claim.summary, "paper": paper,
                        "statement": claim.statement, "verdict": verdict(claim.slug) })
            })
            .collect();
        return json(&list);
    }
    let mut rows = Table::new(["method", "area", "paper", "what it does", "its claim"]);
    for claim in consilience::claims() {
        let paper = format!("{} ({}), arXiv {}", claim.paper.title, claim.paper.year, claim.paper.arxiv);
        rows.push([claim.slug, claim.area, &paper, claim.summary, verdict(claim.slug)]);
    }
    say(rows.to_text());
    say(
        "`consilience claim SLUG` runs a claim; `consilience methods --merge` lists the methods of `consilience merge`.",
    );
    Ok(())
}

/// The verdict on a claim's line of docs/claims.md.
fn verdict(slug: &str) -> &'static str {
    let line = VERDICTS.lines().find(|line| line.starts_with('|') && line.contains(slug)).unwrap_or_default();
    // The longer name first: it holds the shorter one.
    for (word, verdict) in
        [("not reproduced", "not reproduced"), ("partly", "partly reproduced"), ("reproduced", "reproduced")]
    {
        if line.to_lowercase().contains(word) {
            return verdict;
        }
    }
    "not run yet"
}

fn merge_methods(as_json: bool) -> Result<()> {
    if as_json {
        let list: Vec<_> = METHODS
            .iter()
            .map(|method| {
                let parameters: Vec<_> = method
                    .parameters
                    .iter()
                    .map(|p| {
                        json!({ "name": p.name, "default": default(p.default), "values": p.range.to_string(),
                                "of": scope(p.scope), "description": p.description })
                    })
                    .collect();
                json!({ "name": method.name, "title": method.title, "reference": method.reference,
                        "summary": method.summary, "parameters": parameters })
            })
            .collect();
        return json(&list);
    }
    let mut rows = Table::new(["merge_method", "what it does", "parameters (default)", "source"]);
    for method in &METHODS {
        let parameters: Vec<String> =
            method.parameters.iter().map(|p| format!("{} ({})", p.name, default(p.default))).collect();
        let source = method.reference.map_or("", |link| link.trim_start_matches("https://"));
        rows.push([method.name, method.summary, &parameters.join(", "), source]);
    }
    say(rows.to_text());
    Ok(())
}

fn default(value: DefaultValue) -> String {
    match value {
        DefaultValue::Required => "required".into(),
        DefaultValue::Nothing => "none".into(),
        DefaultValue::Bool(value) => value.to_string(),
        DefaultValue::Int(value) => value.to_string(),
        DefaultValue::Float(value) => value.to_string(),
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Shared => "the tensor",
        Scope::Input => "each input",
        Scope::NonBase => "each model but the base",
    }
}
