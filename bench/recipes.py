"""One configuration for each merging method, as a user would write it, for timing."""

# Non-base models a method takes at most; the others take all there are.
ONE, TWO = ("slerp", "nearswap", "arcee_fusion"), ("nuslerp",)

# Settings beside the weights. Methods not named here have none.
SHARED = {
    "slerp": {"t": 0.4},
    "nearswap": {"t": 0.001},
    "sce": {"select_topk": 0.5},
}
PER_MODEL = {
    "ties": {"density": 0.5},
    "dare_linear": {"density": 0.5},
    "dare_ties": {"density": 0.5},
    "della": {"density": 0.5, "epsilon": 0.1},
    "della_linear": {"density": 0.5, "epsilon": 0.1},
    "breadcrumbs": {"density": 0.8, "gamma": 0.01},
    "breadcrumbs_ties": {"density": 0.8, "gamma": 0.01},
}
WEIGHTED = ("linear", "nuslerp", "multislerp", "task_arithmetic", *PER_MODEL)
BASELESS = ("linear", "karcher", "passthrough")

METHODS = (
    "linear",
    "slerp",
    "nuslerp",
    "multislerp",
    "karcher",
    "task_arithmetic",
    "ties",
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "breadcrumbs",
    "breadcrumbs_ties",
    "sce",
    "model_stock",
    "nearswap",
    "arcee_fusion",
    "passthrough",
    "ram",
    "ramplus_tl",
)


def recipe(method, base, models, dtype, layers=8):
    """The configuration of `method` as a dict for YAML. Three models merge into one where the method takes three."""
    if method == "passthrough":
        return stacked(models, dtype, layers)
    taken = models[:1] if method in ONE else models[:2] if method in TWO else models
    weights = [0.5, 0.3, 0.2]
    entries = []
    for model, weight in zip(taken, weights):
        parameters = ({"weight": weight} if method in WEIGHTED else {}) | PER_MODEL.get(method, {})
        entries.append({"model": str(model)} | ({"parameters": parameters} if parameters else {}))
    config = {"merge_method": method, "models": entries, "dtype": dtype}
    if method not in BASELESS:
        config["base_model"] = str(base)
    if method in SHARED:
        config["parameters"] = SHARED[method]
    return config


def stacked(models, dtype, layers):
    """Layers of two models stacked: the first three quarters of one, the last three quarters of the other."""
    ranges = [0, layers * 3 // 4], [layers // 4, layers]
    slices = [{"sources": [{"model": str(m), "layer_range": r}]} for m, r in zip(models, ranges)]
    return {"merge_method": "passthrough", "slices": slices, "dtype": dtype}


def inputs(method):
    """How many checkpoints the method reads."""
    if method == "passthrough":
        return 2
    return 2 if method in ONE else 3 if method in (*TWO, *BASELESS) else 4
