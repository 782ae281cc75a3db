//! The vocabulary of the result.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::vocabulary::{AddedToken, Vocabulary};

/// A model's vocabulary as a source of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Source<'v> {
    /// Its tokens.
    pub vocabulary: &'v Vocabulary,
    /// The rows of its embeddings: tokens from this number on have none and are passed over.
    pub rows: usize,
}

/// The tokens of `base` under their numbers, then those that only the others have: in the order of the models and of
/// their numbers there, tokens of the models' own first, added ones after them.
///
/// As in mergekit 0.1.5, tokens of another model's own become added tokens, which are found in the text before the base's
/// tokenizer splits it: rules for joining pieces are not taken over, since the rules of two tokenizers do not mix. Where
/// two models have added the same token, it is looked for as the first of them says.
pub fn union(base: &Vocabulary, others: &[Source<'_>]) -> Vocabulary {
    let mut added: IndexMap<&str, &AddedToken> = IndexMap::new();
    let all = std::iter::once(Source { vocabulary: base, rows: usize::MAX }).chain(others.iter().copied());
    for source in all {
        for (_, token) in source.vocabulary.added_by_id().into_iter().filter(|(id, _)| *id < source.rows) {
            added.entry(&token.content).or_insert(token);
        }
    }
    let mut joined = base.clone();
    let mut seen = HashSet::new();
    for source in others {
        for (id, token) in source.vocabulary.by_id() {
            let new = id < source.rows && base.id(token).is_none() && !added.contains_key(token) && seen.insert(token);
            if new {
                joined.add(AddedToken::plain(token, false));
            }
        }
    }
    for token in added.into_values() {
        joined.add(token.clone());
    }
    joined
}

/// For every number up to the greatest of `joined`, the row in which `source` has the embedding of the token of that
/// number; `None` where it lacks the token, or has it without a row.
pub fn rows_in(source: Source<'_>, joined: &[(usize, &str)]) -> Vec<Option<u32>> {
    let mut rows = vec![None; joined.last().map_or(0, |(id, _)| id + 1)];
    for (id, token) in joined {
        let row = source.vocabulary.id(token).filter(|row| *row < source.rows);
        if let (Some(place), Some(row)) = (rows.get_mut(*id), row) {
            *place = u32::try_from(row).ok();
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(tokens: &[&str]) -> Vocabulary {
        Vocabulary::of_model(tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id)))
    }

    fn with(mut vocabulary: Vocabulary, added: &[(&str, bool)]) -> Vocabulary {
        for (token, special) in added {
            vocabulary.add(AddedToken::plain(*token, *special));
        }
        vocabulary
    }

    #[test]
    fn new_tokens_follow_in_the_order_of_the_models_and_added_ones_come_last() {
        let base = with(model(&["a", "b", "c"]), &[("<s>", true)]);
        let second = with(model(&["b", "y", "x", "a"]), &[("<pad>", true), ("<s>", true)]);
        let third = with(model(&["x", "z", "c"]), &[("y", false), ("<more>", false)]);
        let source = |vocabulary| Source { vocabulary, rows: 5 };
        let joined = union(&base, &[source(&second), Source { rows: 4, ..source(&third) }]);
        let tokens: Vec<&str> = joined.by_id().into_iter().map(|(_, token)| token).collect();
        // `y` is an added token of the third model and one of the second's own: it counts as added. `<s>` of the second
        // model and `<more>` of the third lie beyond their rows.
        assert_eq!(tokens, ["a", "b", "c", "<s>", "x", "z", "<pad>", "y"]);
        assert_eq!(joined.added("<pad>").map(|token| token.special), Some(true));
        assert_eq!(joined.added("x").map(|token| (token.special, token.normalized)), Some((false, true)));
        let order = joined.by_id();
        let of = |vocabulary| rows_in(source(vocabulary), &order);
        assert_eq!(of(&base), [Some(0), Some(1), Some(2), Some(3), None, None, None, None]);
        assert_eq!(of(&second), [Some(3), Some(0), None, None, Some(2), None, Some(4), Some(1)]);
    }

    #[test]
    fn a_token_of_the_bases_own_that_another_model_added_keeps_its_number() {
        let base = model(&["a", "b"]);
        let other = with(model(&["a"]), &[("b", true)]);
        let joined = union(&base, &[Source { vocabulary: &other, rows: 2 }]);
        assert_eq!(joined.by_id(), [(0, "a"), (1, "b")]);
        assert_eq!(joined.added("b").map(|token| token.special), Some(true));
    }

    #[test]
    fn one_vocabulary_alone_is_its_own_union() {
        let base = with(model(&["a", "b"]), &[("<s>", true)]);
        assert_eq!(union(&base, &[Source { vocabulary: &base, rows: 3 }]), base);
    }
}
