"""What transformers makes of pairs of texts: a small BERT with its tokenizer, and its logits.

    python pairs.py FOLDER

writes the model into FOLDER, the pairs as `pairs.jsonl`, and `expected.safetensors` with the logits of each pair.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "it", "rains", "the", "street", "is", "wet", "dry", "##ly", "not"]
PAIRS = [
    ("It rains", "the street is wet"),
    ("It rains", "the street is dryly not wet"),
    ("the street", "it"),
    ("it rains it rains it rains it rains", "the street is wet the street is not dry"),
    ("unknown words", ""),
]
LENGTH = 14


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    tokenizer = transformers.BertTokenizer(str(vocabulary))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=16, num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.3 * noise if "norm" in name.lower() and name.endswith("weight") else 0.4 * noise)
        logits = []
        for first, second in PAIRS:
            # In lists, as training does: alone, an empty second text would count as none.
            inputs = tokenizer([first], [second], truncation=True, max_length=LENGTH, return_tensors="pt")
            logits.append(model(**inputs).logits)
    model.save_pretrained(folder)
    save_file({"logits": torch.cat(logits)}, folder / "expected.safetensors")
    lines = [json.dumps({"first": first, "second": second}) for first, second in PAIRS]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")


main(sys.argv[1])
