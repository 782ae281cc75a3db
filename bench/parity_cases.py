"""The configurations of the parity check, as YAML text."""

from dataclasses import dataclass

import recipes
import yaml

RANDOM = ("dare_linear", "dare_ties", "della", "della_linear")
LAYERS = 4


@dataclass(frozen=True)
class Case:
    """One configuration on one family of checkpoints."""

    name: str
    method: str
    family: str
    text: str
    shard_size: str | None = None


class Family:
    """The folders of a family, as configurations name them."""

    def __init__(self, name, folders, dtype):
        self.name, self.dtype = name, dtype
        self.base, *self.models = (str(folder) for folder in folders)

    def recipe(self, method, **changes):
        return recipes.recipe(method, self.base, self.models, self.dtype, LAYERS) | changes

    def weighted(self, method, *parameters, count=3, **shared):
        """The base and `count` models, with the parameters of each (of all where there is one set alone)."""
        each = parameters if len(parameters) > 1 else parameters * count
        entries = [{"model": m} | ({"parameters": p} if p else {}) for m, p in zip(self.models, each or [{}] * count)]
        config = {"merge_method": method, "base_model": self.base, "models": entries[:count], "dtype": self.dtype}
        return config | ({"parameters": shared} if shared else {})

    def case(self, name, config, shard_size=None):
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        method = yaml.safe_load(text)["merge_method"]
        return Case(f"{self.name}: {method}: {name}", method, self.name, text, shard_size)


def cases(families):
    """All cases, from the families by name."""
    result = []
    for family in families.values():
        if family.name.startswith("wide"):
            result.append(family.case("usual", family.recipe("arcee_fusion")))
            continue
        result += usual(family)
    single = families["f32"]
    for make in (task_vectors, spherical, others, levels, slices, gradients, yaml_1_1, types):
        result += make(single)
    result += types(families["bf16"]) + gradients(families["bf16"])
    result += tied(families["tied"])
    return result


def usual(family):
    """Every method as it is used most."""
    return [family.case("usual", family.recipe(method)) for method in recipes.METHODS if method != "arcee_fusion"]


def task_vectors(f):
    """The task-arithmetic family: every parameter."""
    result = []
    for method in (
        "task_arithmetic",
        "ties",
        "breadcrumbs",
        "breadcrumbs_ties",
        "dare_linear",
        "dare_ties",
        "della",
        "della_linear",
    ):
        weights = [{"weight": 0.6, "density": 0.6}, {"weight": 0.3, "density": 0.4}, {"weight": 0.2, "density": 0.75}]
        for name, shared in {
            "normalize": {"normalize": True},
            "no normalize": {"normalize": False},
            "lambda": {"lambda": 0.7},
            "rescale": {"rescale": True},
            "no rescale": {"rescale": False},
            "int8 mask": {"int8_mask": True},
        }.items():
            result.append(f.case(name, f.weighted(method, *weights, **shared)))
        result.append(f.case("density 1", f.weighted(method, {"weight": 0.4, "density": 1})))
        one = {"weight": 1.0, "density": 0.7} | ({"epsilon": 0.2} if method.startswith("della") else {})
        result.append(f.case("one model", f.weighted(method, one, count=1)))
        if method not in RANDOM:
            result.append(
                f.case("negative weight", f.weighted(method, *(w | {"weight": -w["weight"]} for w in weights)))
            )
        if method.startswith("breadcrumbs"):
            result.append(f.case("gamma", f.weighted(method, *(w | {"gamma": 0.1} for w in weights))))
    result.append(f.case("one entry in a thousand", f.weighted("ties", {"weight": 1.0, "density": 0.001})))
    return result


def spherical(f):
    """The methods on spheres."""
    pair = [{"weight": 0.7}, {"weight": 0.4}]
    result = []
    for how in ({}, {"nuslerp_flatten": False}, {"nuslerp_flatten": False, "nuslerp_row_wise": True}):
        for base in (True, False):
            config = f.weighted("nuslerp", *pair, count=2, **how)
            if not base:
                del config["base_model"]
            name = f"{'rows' if len(how) == 2 else 'columns' if how else 'flat'}{'' if base else ', no base'}"
            result.append(f.case(name, config))
    three = [{"weight": 0.5}, {"weight": 0.3}, {"weight": 0.1}]
    baseless = f.weighted("multislerp", *three)
    del baseless["base_model"]
    result += [
        f.case("no base", baseless),
        f.case("no normalize", f.weighted("multislerp", *three, normalize_weights=False)),
        f.case("eps", f.weighted("multislerp", *three, eps=1e-3)),
    ]
    karcher = f.recipe("karcher")
    result += [
        f.case("with base", karcher | {"base_model": f.base}),
        f.case("two iterations", karcher | {"parameters": {"max_iter": 2, "tol": 1e-6}}),
    ]
    slerp = f.recipe("slerp")
    return result + [f.case(f"t = {t}", slerp | {"parameters": {"t": t}}) for t in (0, 1, 0.9)]


def others(f):
    """The parameters of all other methods."""
    linear, near = f.recipe("linear"), f.recipe("nearswap")
    result = [
        f.case("no normalize", linear | {"parameters": {"normalize": False}}),
        f.case("with base", linear | {"base_model": f.base, "parameters": {"weight": 0.2}}),
        f.case("filter-wise", f.weighted("model_stock", filter_wise=True)),
        f.case("two models", f.weighted("model_stock", count=2)),
        f.case("epsilon", f.weighted("ram", epsilon=1e-3)),
        f.case("everything", f.weighted("ramplus_tl", r=0.4, alpha=0.5, epsilon=1e-3)),
    ]
    result += [f.case(f"t = {t}", near | {"parameters": {"t": t}}) for t in (0, 1e-4, 0.01)]
    return result + [f.case(f"top {k}", f.weighted("sce", select_topk=k)) for k in (0.1, 0.9, 1.0)]


def levels(f):
    """Parameters at each level, the nearer one winning."""
    whole = [0, LAYERS]

    def source(model, **parameters):
        return {"model": model, "layer_range": whole} | ({"parameters": parameters} if parameters else {})

    sliced = {
        "merge_method": "ties",
        "base_model": f.base,
        "dtype": f.dtype,
        "parameters": {"weight": 0.9, "density": 0.9, "lambda": 0.5, "normalize": False},
        "slices": [
            {
                "sources": [
                    source(f.base),
                    source(f.models[0], weight=0.2, density=0.3),
                    source(f.models[1], weight=[{"filter": "mlp", "value": 0.7}]),
                    source(f.models[2]),
                ],
                "parameters": {"density": 0.6, "lambda": [{"filter": "self_attn", "value": 1.5}], "normalize": True},
            }
        ],
    }
    modules = {key: value for key, value in sliced.items() if key != "slices"}
    module = {"slices": sliced["slices"], "parameters": {"weight": 0.4, "lambda": 0.8}}
    return [
        f.case("source, slice, whole", sliced),
        f.case("source, slice, module, whole", modules | {"modules": {"default": module}}),
        f.case("model, whole", f.weighted("ties", {"weight": 0.5}, {}, {"weight": 0.1}, weight=0.8, density=0.4)),
    ]


def slices(f):
    """Slices of layers, stacked and merged."""
    a, b, c = f.models

    def piece(start, end, *models, **rest):
        return {"sources": [{"model": m, "layer_range": [start, end]} for m in models]} | rest

    silent = [{"filter": "o_proj", "value": 0.0}, {"filter": "down_proj", "value": 0.0}, {"value": 1.0}]
    doubled = {"sources": [{"model": b, "layer_range": [1, 3], "parameters": {"scale": silent}}]}
    slerp = {"merge_method": "slerp", "base_model": a, "dtype": f.dtype, "parameters": {"t": [0, 0.5, 1]}}
    return [
        f.case(
            "stacked",
            {"merge_method": "passthrough", "dtype": f.dtype, "slices": [piece(0, 3, a), doubled, piece(2, 4, c)]},
        ),
        f.case(
            "stacked, no dtype",
            {"merge_method": "passthrough", "slices": [piece(0, 2, a), piece(0, 1, b), piece(3, 4, b)]},
        ),
        f.case("two slices", slerp | {"slices": [piece(0, 2, a, b), piece(2, 4, a, b, parameters={"t": 0.2})]}),
        f.case("one layer", slerp | {"slices": [piece(1, 2, a, b)]}),
        f.case("a slice's own base", slerp | {"slices": [piece(0, 2, a, b), piece(1, 4, b, c, base_model=c)]}),
        f.case(
            "unequal layers",
            slerp
            | {"slices": [{"sources": [{"model": a, "layer_range": [0, 3]}, {"model": b, "layer_range": [1, 4]}]}]},
        ),
        f.case("small shards", f.recipe("linear"), shard_size="20KB"),
    ]


def gradients(f):
    """Values that change over the layers, and by name."""
    t = [
        {"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]},
        {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]},
        {"value": 0.5},
    ]
    ties = [
        {"weight": [0.1, 0.9], "density": [0.2, 0.5, 1.0]},
        {"weight": 0.5, "density": 0.5},
        {"weight": [0.0, 0.3, 0.6, 0.9], "density": 0.4},
    ]
    order = [{"filter": "layers.1.", "value": 0.9}, {"filter": "layers", "value": 0.1}, {"filter": "*", "value": 0.4}]
    return [
        f.case("the classic", f.recipe("slerp") | {"parameters": {"t": t}}),
        f.case("weights and densities", f.weighted("ties", *ties)),
        f.case("booleans", f.weighted("ties", {"weight": 0.6, "density": 0.5}, normalize=[True, False])),
        f.case("the first filter wins", f.recipe("slerp") | {"parameters": {"t": order}}),
        f.case(
            "a filter that leaves gaps",
            f.weighted("ties", {"weight": 0.5, "density": [{"filter": "mlp", "value": 0.3}]}),
        ),
        f.case("one filter, no list", f.recipe("slerp") | {"parameters": {"t": {"filter": "*", "value": [0.2, 0.8]}}}),
    ]


def yaml_1_1(f):
    """Text that means one thing in YAML 1.1 and another in 1.2."""
    a, b, c = f.models
    head = f"base_model: {f.base}\ndtype: {f.dtype}\n"

    def models(*weights):
        lines = (f"  - model: {m}\n    parameters: {{weight: {w}, density: 0.5}}\n" for m, w in zip((a, b, c), weights))
        return "models:\n" + "".join(lines)

    def ties(weights, rest=""):
        return "merge_method: ties\n" + head + models(*weights) + rest

    anchors = f"""
merge_method: ties
{head}models:
  - model: {a}
    parameters: &usual
      weight: 0.4
      density: 0.6
  - model: {b}
    parameters: *usual
  - model: {c}
    parameters:
      <<: *usual
      density: 0.2
"""
    folded = f"""%YAML 1.1
---
# A comment.
"merge_method": 'ties'
base_model: "{f.base}"
dtype:   {f.dtype}   # another
models: [{{model: {a}, parameters: {{weight: .5, density: +0.4}}}},
         {{model: {b}, parameters: {{"weight": !!float 1, density: 6.e-1}}}}]
parameters: {{normalize: !!bool "no"}}
"""
    return [
        f.case("exponents", ties(["1e-1", "5E-1", "2.5e-1"])),
        f.case("octal, hexadecimal, binary", ties(["010", "0x2", "0b11"])),
        f.case("underscores and signs", ties(["1_0.5", "+2", "-.5"])),
        f.case("sexagesimal", ties(["1:30", "1:00.5", "20"])),
        f.case("off", ties(["1", "0.5", "2"], "parameters: {normalize: off}\n")),
        f.case("Yes", ties(["1", "0.5", "2"], "parameters: {normalize: Yes, int8_mask: ON}\n")),
        f.case("quoted", ties(['"0.5"', "'1'", '"1e-1"'], 'parameters: {normalize: "false"}\n')),
        f.case("booleans as weights", ties(["true", "1", "1"])),
        f.case("gradient of exponents", ties(["[1e-1, 9e-1]", "1", "[0, 1e0]"])),
        f.case("anchors and merge keys", anchors),
        f.case("flow, quotes, tags, directive", folded),
        f.case("CRLF", ties(["1", "0.5", "2"]).replace("\n", "\r\n")),
    ]


def types(f):
    """Stated types."""
    result = []
    for method in ("linear", "ties", "slerp"):
        plain = {key: value for key, value in f.recipe(method).items() if key != "dtype"}
        result.append(f.case("no dtype", plain))
        for out in ("bfloat16", "float16", "float32"):
            result.append(f.case(f"out {out}", f.recipe(method, out_dtype=out)))
    return result


def tied(f):
    """Checkpoints that store their head with the embedding."""
    return [f.case("out bf16", f.recipe("linear", out_dtype="bfloat16"))]
