//! Tokens and their numbers.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A token beside those of the tokenizer's model: found in the text before the model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedToken {
    /// Its text.
    pub content: String,
    /// Only where it is a word of its own.
    #[serde(default)]
    pub single_word: bool,
    /// Together with the white space to its left.
    #[serde(default)]
    pub lstrip: bool,
    /// Together with the white space to its right.
    #[serde(default)]
    pub rstrip: bool,
    /// Looked for in the normalised text. The default is that of the format: unless it is special.
    #[serde(default = "yes")]
    pub normalized: bool,
    /// Left out of decoded text on request.
    #[serde(default)]
    pub special: bool,
}

fn yes() -> bool {
    true
}

impl AddedToken {
    /// A token without conditions: normalised unless it is special, as the tokenizers library makes one of a plain text.
    pub fn plain(content: impl Into<String>, special: bool) -> Self {
        let content = content.into();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: !special, special }
    }
}

/// A tokenizer's tokens: those of its model, and those added to them.
///
/// Numbers of added tokens follow from the order in which they are added, by the tokenizers library's own rule: a token
/// that the model knows keeps its number, a new one gets the next after all. What a file says about them is not asked,
/// neither there nor here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vocabulary {
    tokens: HashMap<String, Known>,
    /// How many tokens the model has, which is where new tokens begin.
    of_model: usize,
    /// The added tokens, in the order in which they were added.
    added: IndexMap<String, AddedToken>,
    /// The greatest number of an added token.
    last_added: Option<usize>,
}

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    id: usize,
    /// Whether it is one of the model's own, added or not.
    of_model: bool,
}

impl Vocabulary {
    /// A vocabulary with the tokens of a model alone.
    pub fn of_model(tokens: impl IntoIterator<Item = (String, usize)>) -> Self {
        let tokens: HashMap<_, _> =
            tokens.into_iter().map(|(token, id)| (token, Known { id, of_model: true })).collect();
        Self { of_model: tokens.len(), tokens, ..Self::default() }
    }

    /// Adds a token, or changes how it is looked for where it was added before. An empty one is passed over.
    pub fn add(&mut self, token: AddedToken) {
        if token.content.is_empty() {
            return;
        }
        let next = self.last_added.map_or(self.of_model, |last| self.of_model.max(last + 1));
        let id = self.tokens.entry(token.content.clone()).or_insert(Known { id: next, of_model: false }).id;
        self.last_added = self.last_added.max(Some(id));
        self.added.insert(token.content.clone(), token);
    }

    /// A token's number.
    pub fn id(&self, token: &str) -> Option<usize> {
        self.tokens.get(token).map(|known| known.id)
    }

    /// How a token was added; `None` for one of the model's.
    pub fn added(&self, token: &str) -> Option<&AddedToken> {
        self.added.get(token)
    }

    /// The added tokens in the order of their numbers, with them.
    pub fn added_by_id(&self) -> Vec<(usize, &AddedToken)> {
        let mut tokens: Vec<_> =
            self.added.values().filter_map(|token| Some((self.id(&token.content)?, token))).collect();
        tokens.sort_by_key(|(id, _)| *id);
        tokens
    }

    /// All tokens in the order of their numbers, with them.
    pub fn by_id(&self) -> Vec<(usize, &str)> {
        let mut tokens: Vec<(usize, &str)> =
            self.tokens.iter().map(|(token, known)| (known.id, token.as_str())).collect();
        tokens.sort_unstable();
        tokens
    }

    /// The number of rows that its embeddings need: one more than the greatest number, and no less than there are tokens.
    pub fn rows(&self) -> usize {
        self.tokens.values().map(|known| known.id + 1).max().unwrap_or(0).max(self.tokens.len())
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Takes out the tokens from number `rows` on, which have no embedding, and says which they were.
    pub fn truncate(&mut self, rows: usize) -> Vec<String> {
        let mut gone: Vec<(usize, String)> = Vec::new();
        self.tokens.retain(|token, known| {
            let stays = known.id < rows;
            if !stays {
                self.of_model -= usize::from(known.of_model);
                gone.push((known.id, token.clone()));
            }
            stays
        });
        for (_, token) in &gone {
            self.added.shift_remove(token);
        }
        self.last_added = self.added.keys().filter_map(|token| self.id(token)).max();
        gone.sort_unstable();
        gone.into_iter().map(|(_, token)| token).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters() -> Vocabulary {
        Vocabulary::of_model([("a", 0), ("b", 1), ("c", 2), ("ab", 3)].map(|(token, id)| (token.to_owned(), id)))
    }

    #[test]
    fn new_tokens_come_after_all_and_known_ones_keep_their_number() {
        let mut vocabulary = letters();
        vocabulary.add(AddedToken::plain("b", true));
        vocabulary.add(AddedToken::plain("<x>", true));
        vocabulary.add(AddedToken::plain("zz", false));
        vocabulary.add(AddedToken::plain("<x>", false));
        vocabulary.add(AddedToken::plain("", false));
        assert_eq!(vocabulary.by_id(), [(0, "a"), (1, "b"), (2, "c"), (3, "ab"), (4, "<x>"), (5, "zz")]);
        let added: Vec<_> = vocabulary.added_by_id().into_iter().map(|(id, t)| (id, &*t.content, t.special)).collect();
        // Adding again changes how it is looked for.
        assert_eq!(added, [(1, "b", true), (4, "<x>", false), (5, "zz", false)]);
        assert_eq!((vocabulary.len(), vocabulary.rows()), (6, 6));
    }

    #[test]
    fn a_gap_in_the_model_is_filled_as_the_tokenizers_library_does() {
        let mut vocabulary = Vocabulary::of_model([("a".to_owned(), 0), ("ab".to_owned(), 7)]);
        vocabulary.add(AddedToken::plain("q", false));
        assert_eq!(vocabulary.id("q"), Some(2));
        assert_eq!((vocabulary.len(), vocabulary.rows()), (3, 8));
    }

    #[test]
    fn tokens_without_a_row_are_taken_out() {
        let mut vocabulary = letters();
        vocabulary.add(AddedToken::plain("<x>", true));
        vocabulary.add(AddedToken::plain("<y>", true));
        let mut shorter = vocabulary.clone();
        assert_eq!(shorter.truncate(5), ["<y>"]);
        shorter.add(AddedToken::plain("<z>", false));
        assert_eq!(shorter.id("<z>"), Some(5));
        assert_eq!(vocabulary.truncate(3), ["ab", "<x>", "<y>"]);
        vocabulary.add(AddedToken::plain("<z>", false));
        assert_eq!(vocabulary.id("<z>"), Some(3));
    }
}
