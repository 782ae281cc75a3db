//! Which row of which model each row of a joined embedding comes from.

use std::collections::HashMap;

use consilience_core::{Error, Result};

use crate::config::{EmbeddingSource, MergeConfig, ModelRef, TokenName, TokenSetting};

/// Where a row of an output tensor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A row of a member of the group, by its place there.
    Of {
        /// The member.
        member: u32,
        /// The row of its tensor.
        row: u32,
    },
    /// The mean of rows, by its place in [`Plan::means`].
    Mean(u32),
    /// Zeros.
    Zero,
    /// The mean over the rows of all tokens: a row that belongs to no token.
    Padding,
}

/// A model that gives a tensor to a merge of tensors of one name.
#[derive(Clone, Copy, Debug)]
pub struct Member<'m> {
    /// As the configuration names it.
    pub model: &'m ModelRef,
    /// For each output token, the row in this model's tensor; see [`super::join::rows_in`].
    pub rows_of: &'m [Option<u32>],
    /// The numbers that tokens have in this model.
    pub tokens: &'m super::Vocabulary,
    /// Whether a row of its tensor belongs to a token, for each row.
    pub named: &'m [bool],
    /// The rows of its tensor.
    pub rows: usize,
}

/// The rows of the output tensors of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// For each member, its output rows.
    pub rows: Vec<Vec<Row>>,
    /// The means that they name: members and rows.
    pub means: Vec<Vec<(u32, u32)>>,
    /// Tokens that no member has, which got zeros.
    pub unknown: Vec<String>,
}

/// What the rows are to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// The configuration, for the places of faults.
    pub config: &'w MergeConfig,
    /// The output tokens in the order of their numbers.
    pub tokens: &'w [(usize, &'w str)],
    /// The number of output rows, no less than the tokens need.
    pub size: usize,
    /// Whether rows without a token keep what a model has in them, where it has no token there either.
    pub keep_padding: bool,
}

/// Plans the rows of a tensor that `members` give, of which `base` is the base model's.
///
/// As mergekit 0.1.5 does it: a token keeps each model's own row; a model that lacks the token gets the row of the only
/// member that has it, else the base's, else the mean of those that have it, and zeros where none has it. An entry of
/// `tokens` in the configuration says otherwise. Time: tokens times members.
///
/// # Errors
/// Settings that name a model or token that is not there, once each.
pub fn plan(wanted: Wanted<'_>, members: &[Member<'_>], base: Option<usize>) -> Result<Plan> {
    let settings = wanted.config.tokenizer.iter().flat_map(|tokenizer| &tokenizer.tokens);
    let settings: HashMap<&str, &TokenSetting> = settings.map(|setting| (setting.token.as_str(), setting)).collect();
    let mut plan =
        Plan { rows: vec![vec![Row::Padding; wanted.size]; members.len()], means: Vec::new(), unknown: Vec::new() };
    if wanted.keep_padding {
        for (place, (member, rows)) in (0..).zip(members.iter().zip(&mut plan.rows)) {
            for (id, row) in rows.iter_mut().enumerate().take(member.rows) {
                if member.named.get(id) == Some(&false) {
                    *row = Row::Of { member: place, row: id as u32 };
                }
            }
        }
    }
    let mut faults = Vec::new();
    for &(id, token) in wanted.tokens {
        let own = |member: &Member<'_>| member.rows_of.get(id).copied().flatten();
        let setting = settings.get(token).copied();
        let force = setting.is_some_and(|setting| setting.force);
        let wanting = force || members.iter().any(|member| own(member).is_none());
        let default = match setting {
            _ if !wanting => Row::Zero,
            Some(setting) => match chosen(wanted.config, setting, id, members) {
                Ok(row) => row,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            },
            None => usual(&mut plan, token, base, members, own),
        };
        for (place, (member, rows)) in (0..).zip(members.iter().zip(&mut plan.rows)) {
            let row = own(member).filter(|_| !force).map(|row| Row::Of { member: place, row });
            if let Some(to) = rows.get_mut(id) {
                *to = row.unwrap_or(default);
            }
        }
    }
    Error::all(faults)?;
    Ok(plan)
}

/// What a model that lacks a token gets where nothing is said about it.
fn usual(
    plan: &mut Plan,
    token: &str,
    base: Option<usize>,
    members: &[Member<'_>],
    own: impl Fn(&Member<'_>) -> Option<u32>,
) -> Row {
    let having: Vec<(u32, u32)> =
        (0..).zip(members).filter_map(|(place, member)| Some((place, own(member)?))).collect();
    let of_base = having.iter().find(|(place, _)| Some(*place as usize) == base);
    match (having.as_slice(), of_base) {
        ([], _) => {
            plan.unknown.push(token.to_owned());
            Row::Zero
        }
        (&[(member, row)], _) | (_, Some(&(member, row))) => Row::Of { member, row },
        _ => {
            plan.means.push(having);
            Row::Mean(plan.means.len() as u32 - 1)
        }
    }
}

/// What a setting says that a token gets.
fn chosen(config: &MergeConfig, setting: &TokenSetting, id: usize, members: &[Member<'_>]) -> Result<Row> {
    let fault = |problem: String, help: &str| {
        Err(config.source.fault(setting.place, format!("the token `{}`: {problem}", setting.token), Some(help.into())))
    };
    let member = |model: &ModelRef| (0..).zip(members).find(|(_, member)| member.model == model);
    let absent = |model: &ModelRef| {
        let help = "add the model to what is merged here, or name one that is";
        fault(format!("`{model}` gives no embedding to this merge"), help)
    };
    match &setting.source {
        Some(EmbeddingSource::Zero) => Ok(Row::Zero),
        Some(EmbeddingSource::Model(model)) => {
            let Some((place, member)) = member(model) else { return absent(model) };
            match member.rows_of.get(id).copied().flatten() {
                Some(row) => Ok(Row::Of { member: place, row }),
                None => fault(
                    format!("`{model}` has no such token"),
                    "name a model that has it, or another token of this one: \
                     `source: {kind: model_token, model: PATH, token: TEXT}`",
                ),
            }
        }
        Some(EmbeddingSource::ModelToken(model, token)) => {
            let Some((place, member)) = member(model) else { return absent(model) };
            let row = match token {
                TokenName::Id(id) => *id,
                TokenName::Text(text) => match member.tokens.id(text) {
                    Some(id) => id,
                    None => return fault(format!("`{model}` has no token `{text}`"), "name one that it has"),
                },
            };
            match u32::try_from(row) {
                Ok(row) if (row as usize) < member.rows => Ok(Row::Of { member: place, row }),
                _ => {
                    let problem = format!("`{model}` has {} embeddings, and none has number {row}", member.rows);
                    fault(problem, "numbers are counted from 0")
                }
            }
        }
        None => fault(
            "it needs a `source`, since a model lacks it or `force` asks for one".into(),
            "add `source: PATH`, `source: {kind: model_token, …}` or `source: {kind: zero}`",
        ),
    }
}
