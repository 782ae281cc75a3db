//! Encoders give what the `transformers` package gives: on stored references, and on models that it makes anew.

use crate::agreement::{check_encoder, on_new_models, on_references};

/// The cases of `python/encoders.py`.
const CASES: [&str; 7] =
    ["clip", "clip_gelu", "clip_unprojected", "bert_classifier", "roberta_classifier", "bert_mean", "bert_pairs"];

#[test]
fn encoders_agree_with_the_stored_references() {
    on_references(&CASES, check_encoder);
}

#[test]
fn encoders_agree_with_transformers_on_new_models() {
    on_new_models("encoders.py", &CASES, check_encoder);
}
