//! Decoders and encoder-decoders give what the `transformers` package gives: on stored references, and on models that it
//! makes anew.

use std::path::Path;

use crate::agreement::{assert_close, assert_comes_back, on_new_models, on_references, read};
use burn::tensor::{Device, Int, Tensor, TensorData};
use consilience_checkpoint::Checkpoint;
use consilience_core::{Samples, Silent};
use consilience_nn::pretrained::{Family, Llama, Pretrained, T5, Tokens, perplexity};
use consilience_nn::{Batch, Classifier};

/// The cases of `python/decoders.py`.
const CASES: [&str; 7] = ["llama", "llama_biased", "mistral", "qwen2", "qwen3", "t5", "flan_t5"];

#[test]
fn decoders_agree_with_the_stored_references() {
    on_references(&CASES, check);
}

#[test]
fn decoders_agree_with_transformers_on_new_models() {
    on_new_models("decoders.py", &CASES, check);
}

/// Opens the model in `folder`, and compares its logits with `expected.safetensors` there.
fn check(folder: &Path) {
    let model = Checkpoint::open(folder).unwrap();
    let expected = Checkpoint::open(folder.join("expected.safetensors")).unwrap();
    let (shape, values) = read(&expected, "texts");
    let texts = Samples::new(values, &shape[1..]).unwrap();
    match Pretrained::open(&model, &Device::flex()).unwrap() {
        Pretrained::Llama(network) => {
            check_logits(folder, &network, &model, &texts, &expected);
            check_loss(folder, &network, &texts, &expected);
        }
        Pretrained::T5(network) => {
            check_logits(folder, &network, &model, &texts, &expected);
            check_answers(folder, &network, &texts, &expected);
        }
        other => panic!("{}: this is no decoder: {other:?}", folder.display()),
    }
}

fn tokens(texts: &Samples) -> Tokens {
    Tokens::from_values(texts.as_slice().to_vec(), texts.shape(), &Device::flex()).unwrap()
}

fn check_logits<M>(folder: &Path, network: &M, model: &Checkpoint, texts: &Samples, expected: &Checkpoint)
where
    M: Family + Classifier<Input = Tokens>,
{
    network.check_samples(texts).unwrap();
    let logits = network.logits(tokens(texts));
    assert_close(&format!("{}: logits", folder.display()), &logits, &read(expected, "logits"));
    assert_comes_back(network, model);
}

/// The mean loss is that of all tokens alike, however many texts go in at a time.
fn check_loss(folder: &Path, network: &Llama, texts: &Samples, expected: &Checkpoint) {
    let (_, loss) = read(expected, "loss");
    let masks = texts.rows().map(|text| text[texts.shape()[1]..].iter().sum::<f32>());
    let predicted: f32 = masks.map(|tokens| tokens - 1.0).sum();
    for batch in [1, 3, 100] {
        let found = perplexity(network, texts, batch, &Silent).unwrap();
        assert_eq!(found.tokens as f32, predicted);
        let apart = (found.mean - f64::from(loss[0])).abs();
        assert!(apart <= 1e-4, "{}: the loss is {} and not {}", folder.display(), found.mean, loss[0]);
    }
}

fn check_answers(folder: &Path, network: &T5, texts: &Samples, expected: &Checkpoint) {
    let (shape, answers) = read(expected, "answers");
    let ids: Vec<i64> = answers.iter().map(|id| *id as i64).collect();
    assert_eq!(ids[0], network.start() as i64);
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &Device::flex());
    let logits: Tensor<2> = network.answer_logits(tokens(texts), ids).flatten(0, 1);
    assert_close(&format!("{}: answers", folder.display()), &logits, &read(expected, "answer_logits"));
}
