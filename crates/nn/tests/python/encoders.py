"""Random small image and text encoders of the transformers package, with what they make of random inputs.

    python encoders.py FOLDER SEED

writes one model folder for each case into FOLDER. Beside the weights stand `expected.safetensors` (the inputs, the features,
and the logits where the case has a head) and, where the head is not the model's own, `head.safetensors`. The folders under
`tests/reference` were written with seed 0.
"""

import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

IMAGE = dict(
    hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=6, patch_size=2, projection_dim=6
)
TEXT = dict(hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, vocab_size=7, max_position_embeddings=4)
BERT = dict(
    vocab_size=17, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, max_position_embeddings=12
)
LENGTHS = [9, 1, 5, 7]
CLASSES = 3


def shaken(model):
    """The model with parameters large enough that each of them shows in the outputs."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if name == "logit_scale":
                parameter.fill_(1.5)
            elif "norm" in name.lower() and name.endswith("weight"):
                parameter.copy_(1.0 + 0.3 * noise)
            else:
                parameter.copy_(0.4 * noise)
    return model.eval()


def images():
    return torch.randn(3, 3, IMAGE["image_size"], IMAGE["image_size"])


def texts(pad):
    """Ids and attention mask of texts of several lengths, one of them shorter than the padding of all."""
    width = max(LENGTHS) + 1
    ids = torch.full((len(LENGTHS), width), pad)
    mask = torch.zeros(len(LENGTHS), width, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(3, BERT["vocab_size"], (length,))
        mask[row, :length] = 1
    return ids, mask


def joined(*parts):
    return torch.stack(parts, 1).float()


def cosines(features, embeddings, scale):
    return scale * torch.nn.functional.normalize(features) @ torch.nn.functional.normalize(embeddings).T


def write(folder, model, expected, head=None):
    model.save_pretrained(folder)
    if head is not None:
        save_file(head, folder / "head.safetensors")
    save_file({name: tensor.detach().contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")


def clip_whole(folder):
    config = transformers.CLIPConfig(vision_config=IMAGE, text_config=TEXT, projection_dim=5)
    model = shaken(transformers.CLIPModel(config))
    pixels = images()
    words = torch.randint(0, TEXT["vocab_size"], (CLASSES, 3))
    out = model(pixel_values=pixels, input_ids=words)
    head = {"class_embeddings": 2.0 * out.text_embeds.detach(), "logit_scale": model.logit_scale.detach()}
    write(folder, model, {"images": pixels, "features": out.image_embeds, "logits": out.logits_per_image}, head)


def clip_gelu(folder):
    config = transformers.CLIPVisionConfig(**IMAGE, hidden_act="gelu")
    model = shaken(transformers.CLIPVisionModelWithProjection(config))
    pixels = images()
    features = torch.nn.functional.normalize(model(pixel_values=pixels).image_embeds)
    write(folder, model, {"images": pixels, "features": features})


def clip_unprojected(folder):
    model = shaken(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**IMAGE)))
    pixels, embeddings = images(), torch.randn(CLASSES, IMAGE["projection_dim"])
    projection = torch.randn(IMAGE["projection_dim"], IMAGE["hidden_size"])
    features = model(pixel_values=pixels).pooler_output
    head = {"class_embeddings": embeddings, "visual_projection.weight": projection, "logit_scale": torch.tensor(1.0)}
    logits = cosines(features @ projection.T, embeddings, torch.tensor(1.0).exp())
    write(folder, model, {"images": pixels, "features": features, "logits": logits}, head)


def bert_classifier(folder):
    model = shaken(transformers.BertForSequenceClassification(transformers.BertConfig(**BERT, num_labels=CLASSES)))
    ids, mask = texts(0)
    features = model.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    logits = model(input_ids=ids, attention_mask=mask).logits
    write(folder, model, {"texts": joined(ids, mask), "features": features, "logits": logits})


def bert_pairs(folder):
    """Pairs: the tokens behind a place of the text's own are of the second kind."""
    model = shaken(transformers.BertForSequenceClassification(transformers.BertConfig(**BERT, num_labels=CLASSES)))
    ids, mask = texts(0)
    types = (torch.arange(ids.shape[1]) >= torch.tensor([[4], [1], [0], [3]])).long() * mask
    inputs = dict(input_ids=ids, attention_mask=mask, token_type_ids=types)
    features = model.bert(**inputs).last_hidden_state[:, 0]
    write(folder, model, {"texts": joined(ids, mask, types), "features": features, "logits": model(**inputs).logits})


def roberta_classifier(folder):
    config = transformers.RobertaConfig(**BERT, type_vocab_size=1, num_labels=CLASSES, layer_norm_eps=1e-5)
    model = shaken(transformers.RobertaForSequenceClassification(config))
    ids, mask = texts(config.pad_token_id)
    features = model.roberta(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    logits = model(input_ids=ids, attention_mask=mask).logits
    write(folder, model, {"texts": joined(ids, mask), "features": features, "logits": logits})


def bert_mean(folder):
    model = shaken(transformers.BertModel(transformers.BertConfig(**BERT)))
    ids, mask = texts(0)
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    features = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    embeddings = torch.randn(CLASSES, BERT["hidden_size"])
    head = {"class_embeddings": embeddings, "logit_scale": torch.tensor([2.0])}
    logits = cosines(features, embeddings, torch.tensor(2.0).exp())
    write(folder, model, {"texts": joined(ids, mask), "features": features, "logits": logits}, head)


CASES = dict(
    clip=clip_whole,
    clip_gelu=clip_gelu,
    clip_unprojected=clip_unprojected,
    bert_classifier=bert_classifier,
    roberta_classifier=roberta_classifier,
    bert_mean=bert_mean,
    bert_pairs=bert_pairs,
)


def main(folder, seed):
    for number, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(1000 * int(seed) + number)
        with torch.no_grad():
            case(Path(folder) / name)


main(*sys.argv[1:])
