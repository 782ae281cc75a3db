"""The tensors and the cases of the reference fixtures: what mergekit is asked, method by method."""

from dataclasses import dataclass, field

import torch

SHAPES = {"vector": (12,), "matrix": (6, 8), "conv": (3, 2, 3, 3), "scalar": ()}


@dataclass(frozen=True)
class Case:
    """One merge: names of tensors in `Tensors`, the base's place among them, parameters by mergekit's names.

    Parameters of each input are lists: of all inputs (`linear`, `passthrough`), or of all but the base (the others).
    """

    name: str
    inputs: tuple
    base: int | None = None
    parameters: dict = field(default_factory=dict)
    # Whether entries tie at a threshold on purpose; ties are broken by a stable sort then.
    tied: bool = False


def tensors(seed):
    """Named f32 tensors of every shape: `base`, three models of each of four kinds, and special ones.

    `far`: as different from the base as the base is from zero. `near`: as fine-tunes are, base + 1e-3 noise. `tiny`:
    base + 1e-4 noise. `sparse`: a third of the entries moved, the others equal to the base.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, scale):
        return torch.empty(shape).normal_(0.0, scale, generator=generator)

    pool = {}
    for kind, shape in SHAPES.items():
        base = normal(shape, 0.5)
        pool[f"base.{kind}"] = base
        for i in (1, 2, 3):
            pool[f"far{i}.{kind}"] = base + normal(shape, 0.3)
            pool[f"near{i}.{kind}"] = base + normal(shape, 1e-3)
            pool[f"tiny{i}.{kind}"] = base + normal(shape, 1e-4)
            moved = torch.empty(shape).uniform_(generator=generator) < 0.4
            pool[f"sparse{i}.{kind}"] = torch.where(moved, base + normal(shape, 0.3), base)
        pool[f"negative.{kind}"] = -base
        pool[f"zero.{kind}"] = torch.zeros(shape)
    pool |= {"base.fifty": normal((50,), 0.5), "far1.fifty": normal((50,), 0.5), "far2.fifty": normal((50,), 0.5)}
    # Steps of 1/8 are exact in f32, so magnitudes of the differences tie exactly.
    grid = torch.tensor([1, -1, 2, 2, -2, 3, -3, 1, 2, -1, 3, -2, 2, 1, -2, 3], dtype=torch.float32).reshape(2, 8) / 8
    pool |= {"base.grid": torch.ones(2, 8), "tied1.grid": 1 + grid, "tied2.grid": 1 - grid.flip(1)}
    return pool


def named(kind, *names):
    return tuple(f"{name}.{kind}" for name in names)


def three(kind, how="far"):
    """A base and three models."""
    return named(kind, "base", f"{how}1", f"{how}2", f"{how}3")


def everywhere(parameters, base=0, how=("far", "near")):
    """The same merge of a base and three models on every shape, near models on the matrix alone."""
    cases = [Case(f"{kind}_far", three(kind), base, parameters) for kind in SHAPES if "far" in how]
    return cases + [Case(f"matrix_{kind}", three("matrix", kind), base, parameters) for kind in how if kind != "far"]


def degenerate(parameters, count=3):
    """All models equal to the base; one of them equal to it."""
    return [
        Case("all_equal", named("matrix", "base", *["base"] * count), 0, parameters),
        Case("one_zero_task_vector", named("matrix", "base", "base", "far2", "far3")[: count + 1], 0, parameters),
    ]


def arithmetic(density=None, normalize=True, **extra):
    """Cases of the task-arithmetic family. `density`: three numbers for the methods that drop entries."""
    weight = [0.5, 0.3, 0.4]
    usual = {"weight": weight} | ({"density": density} if density else {}) | extra
    cases = everywhere(usual, how=("far", "near", "tiny")) + degenerate(usual)
    cases += [
        Case("normalize", three("matrix"), 0, usual | {"normalize": True}),
        Case("no_normalize", three("matrix"), 0, usual | {"normalize": False}),
        Case("lambda", three("matrix"), 0, usual | {"lambda": 0.7}),
        Case("rescale", three("matrix"), 0, usual | {"rescale": True}),
        Case("no_rescale", three("matrix"), 0, usual | {"rescale": False}),
        Case("negative_weight", three("matrix"), 0, usual | {"weight": [0.5, -0.3, 0.4]}),
        Case("weights_cancel", three("matrix"), 0, usual | {"weight": [0.5, -0.5, 0.0], "normalize": True}),
        Case("base_in_the_middle", named("matrix", "far1", "base", "far2", "far3"), 1, usual),
        Case("int8_mask", three("matrix"), 0, usual | {"int8_mask": True}),
        Case("base_alone", named("matrix", "base"), 0, {}),
    ]
    return cases


def at(density, name, **extra):
    usual = {"weight": [0.5, 0.3, 0.4], "density": [density] * 3} | extra
    return Case(name, three("matrix"), 0, usual)


def trimmed_extremes():
    fifty = named("fifty", "base", "far1", "far2")
    return [
        at(1.0, "density_one"),
        at(1.5, "density_above_one"),
        at(0.0, "density_zero"),
        # 0.58 · 50 = 28.999999999999996 in f64, of which the whole part is kept.
        Case("whole_part", fifty, 0, {"weight": [0.5, 0.4], "density": [0.58, 0.29]}),
    ]


def tied(**parameters):
    return Case("tied", named("grid", "base", "tied1", "tied2"), 0, parameters, tied=True)


def linear():
    kinds = {"matrix_near": three("matrix", "near")[1:]} | {f"{k}_far": three(k)[1:] for k in SHAPES}
    weight = {"weight": [0.5, 0.3, 0.4]}
    cases = [Case(name, inputs, None, weight) for name, inputs in kinds.items()]
    far = three("matrix")[1:]
    return cases + [
        Case("no_normalize", far, None, weight | {"normalize": False}),
        Case("negative_weight", far, None, {"weight": [1.5, -0.75, 0.25]}),
        Case("single", far[:1], None, {"weight": [0.3]}),
        Case("all_equal", named("matrix", "base", "base", "base"), None, weight),
        Case("five", three("matrix") + named("matrix", "near1"), None, {"weight": [0.1, 0.2, 0.3, 0.4, 0.5]}),
    ]


def slerp():
    cases = [Case(f"{kind}_far", named(kind, "base", "far1"), 0, {"t": 0.3}) for kind in SHAPES]
    pair = named("matrix", "base", "far1")
    cases += [Case(f"t_{t}", pair, 0, {"t": t}) for t in (0.0, 0.5, 1.0)]
    return cases + [
        Case("base_second", pair, 1, {"t": 0.3}),
        Case("near_is_linear", named("matrix", "base", "near1"), 0, {"t": 0.3}),
        Case("antipodal_is_linear", named("matrix", "base", "negative"), 0, {"t": 0.3}),
        Case("all_equal", named("matrix", "base", "base"), 0, {"t": 0.3}),
        Case("zero_model", named("matrix", "base", "zero"), 0, {"t": 0.3}),
        Case("zero_base", named("matrix", "zero", "far1"), 0, {"t": 0.3}),
    ]


def nuslerp():
    shapes = {
        "flat": {},
        "rows": {"nuslerp_flatten": False, "nuslerp_row_wise": True},
        "columns": {"nuslerp_flatten": False, "nuslerp_row_wise": False},
    }
    cases = []
    for how, parameters in shapes.items():
        usual = {"weight": [0.6, 0.3]} | parameters
        for kind in SHAPES:
            cases.append(Case(f"{how}_{kind}", named(kind, "far1", "far2"), None, usual))
            cases.append(Case(f"{how}_{kind}_base", named(kind, "base", "far1", "far2"), 0, usual))
        cases += [
            Case(f"{how}_near", named("matrix", "near1", "near2"), None, usual),
            Case(f"{how}_near_base", named("matrix", "base", "near1", "near2"), 0, usual),
            Case(f"{how}_all_equal", named("matrix", "base", "base"), None, usual),
            Case(f"{how}_zero_task_vector", named("matrix", "base", "base", "far1"), 0, usual),
        ]
    # Antipodal rows and columns are left out: whether one counts as collinear hangs on the last bit of its cosine.
    cases.append(Case("flat_antipodal", named("matrix", "base", "negative"), None, {"weight": [0.6, 0.3]}))
    cases.append(Case("weights_cancel", named("matrix", "far1", "far2"), None, {"weight": [0.5, -0.5]}))
    cases.append(Case("base_last", named("matrix", "far1", "far2", "base"), 2, {"weight": [0.6, 0.3]}))
    return cases


def multislerp():
    usual = {"weight": [0.5, 0.3, 0.4]}
    cases = everywhere(usual)
    cases += [Case(f"{kind}_baseless", three(kind)[1:], None, usual) for kind in SHAPES]
    return cases + [
        Case("near_baseless", three("matrix", "near")[1:], None, usual),
        Case("no_normalize", three("matrix"), 0, usual | {"normalize_weights": False}),
        Case("eps", three("matrix"), 0, usual | {"eps": 1e-2}),
        Case("single", named("matrix", "far1"), None, {"weight": [0.3]}),
        Case("single_base", named("matrix", "base", "far1"), 0, {"weight": [0.3]}),
        Case("one_zero_task_vector", named("matrix", "base", "base", "far2", "far3"), 0, usual),
        Case("all_equal", named("matrix", "base", "base", "base"), None, usual),
        Case("opposed", named("matrix", "base", "negative"), None, {"weight": [0.5, 0.5]}),
        Case("opposed_unequal", named("matrix", "base", "negative"), None, {"weight": [0.7, 0.3]}),
    ]


def karcher():
    cases = [Case(f"{kind}_far", three(kind), None, {}) for kind in SHAPES]
    far = three("matrix")
    return cases + [
        Case("near", three("matrix", "near"), None, {}),
        Case("two", far[:2], None, {}),
        Case("one", far[:1], None, {}),
        Case("one_iteration", far, None, {"max_iter": 1}),
        Case("no_iteration", far, None, {"max_iter": 0}),
        Case("tolerance", far, None, {"tol": 0.05}),
        Case("a_zero_model", far[:2] + named("matrix", "zero"), None, {}),
        Case("all_zero", named("matrix", "zero", "zero"), None, {}),
        Case("all_equal", named("matrix", "base", "base", "base"), None, {}),
    ]


def task_arithmetic():
    return arithmetic()


def ties():
    densities = [0.5, 0.3, 0.8]
    few = [at(0.001, "one_entry_at_least"), tied(weight=[0.5, 0.4], density=[0.4, 0.55])]
    return arithmetic(density=densities) + trimmed_extremes() + few


def breadcrumbs():
    densities, gamma = [0.5, 0.3, 0.8], {"gamma": [0.05, 0.1, 0.1]}
    return (
        arithmetic(density=densities, **gamma)
        + trimmed_extremes()
        + [
            at(0.6, "gamma_zero", gamma=[0.0, 0.0, 0.0]),
            # More outliers than may go: fewer of them are dropped.
            at(0.9, "gamma_beyond_density", gamma=[0.2, 0.3, 0.5]),
            tied(weight=[0.5, 0.4], density=[0.4, 0.55], gamma=[0.15, 0.1]),
        ]
    )


def random_without_chance():
    """Densities at which the random methods drop all or nothing."""
    return [
        *arithmetic(density=[1.0, 1.0, 1.0]),
        at(1.5, "density_above_one"),
        at(0.0, "density_zero"),
        Case("some_kept_some_dropped", three("matrix"), 0, {"weight": [0.5, 0.3, 0.4], "density": [1.0, 0.0, 1.0]}),
    ]


def sce():
    cases = everywhere({"select_topk": 0.5}, how=("far", "near", "tiny")) + degenerate({"select_topk": 0.5})
    return cases + [
        Case("all_entries", three("matrix"), 0, {}),
        Case("all_entries_near", three("matrix", "near"), 0, {}),
        Case("few_entries", three("matrix"), 0, {"select_topk": 0.1}),
        Case("less_than_one_entry", three("matrix"), 0, {"select_topk": 0.01}),
        Case("no_entries", three("matrix"), 0, {"select_topk": 0.0}),
        Case("sparse", three("matrix", "sparse"), 0, {"select_topk": 0.6}),
        Case("single", named("matrix", "base", "far1"), 0, {"select_topk": 0.5}),
        Case("single_all", named("matrix", "base", "far1"), 0, {}),
        Case("base_alone", named("matrix", "base"), 0, {}),
        Case("base_last", named("matrix", "far1", "far2", "far3", "base"), 3, {"select_topk": 0.5}),
        tied(select_topk=0.4),
    ]


def model_stock():
    cases = []
    for how in (False, True):
        suffix, parameters = ("_filters", {"filter_wise": True}) if how else ("", {})
        cases += [Case(f"{kind}_far{suffix}", three(kind), 0, parameters) for kind in SHAPES]
        cases += [Case(f"near{suffix}", three("matrix", "near"), 0, parameters)]
        cases += [Case(f"tiny{suffix}", three("matrix", "tiny"), 0, parameters)]
        cases += [Case(f"two{suffix}", three("matrix")[:3], 0, parameters)]
        cases += [Case(f"{c.name}{suffix}", c.inputs, 0, parameters) for c in degenerate({})]
        # cos θ = −1 for two models: the interpolation has a pole, and the base is kept.
        cases += [Case(f"opposed{suffix}", named("matrix", "zero", "far1", "far1_negated"), 0, parameters)]
    return cases + [Case("base_last", named("matrix", "far1", "far2", "base"), 2, {})]


def nearswap():
    cases = [Case(f"{kind}_far", named(kind, "base", "far1"), 0, {"t": 0.1}) for kind in SHAPES]
    cases += [Case(f"near_t_{t}", named("matrix", "base", "near1"), 0, {"t": t}) for t in (0.0, 1e-4, 1e-3, 1.0)]
    return cases + [
        Case("base_second", named("matrix", "far1", "base"), 1, {"t": 0.1}),
        Case("all_equal", named("matrix", "base", "base"), 0, {"t": 1e-3}),
        Case("sparse", named("matrix", "base", "sparse1"), 0, {"t": 0.1}),
    ]


def arcee_fusion():
    cases = [Case(f"{kind}_far", named(kind, "base", "far1"), 0, {}) for kind in SHAPES]
    return cases + [
        Case("fifty", named("fifty", "base", "far1"), 0, {}),
        Case("sparse", named("matrix", "base", "sparse1"), 0, {}),
        Case("all_equal", named("matrix", "base", "base"), 0, {}),
        Case("base_second", named("matrix", "far2", "base"), 1, {}),
    ]


def passthrough():
    cases = [Case(f"{kind}", named(kind, "far1"), None, {}) for kind in SHAPES]
    return cases + [Case(f"scale_{s}", named("matrix", "far1"), None, {"scale": [s]}) for s in (0.5, 0.0, -1.3)]


def ram():
    cases = everywhere({}, how=("far", "near", "tiny", "sparse")) + degenerate({})
    cases += [Case(f"{kind}_sparse", three(kind, "sparse"), 0, {}) for kind in SHAPES if kind != "matrix"]
    return cases + [
        Case("epsilon", three("matrix"), 0, {"epsilon": 0.2}),
        Case("single", named("matrix", "base", "far1"), 0, {}),
        Case("base_alone", named("matrix", "base"), 0, {}),
        Case("base_last", named("matrix", "sparse1", "sparse2", "base"), 2, {}),
    ]


def ramplus_tl():
    sparse = three("matrix", "sparse")
    return ram() + [
        Case("more", sparse, 0, {"r": 0.4, "alpha": 2.0}),
        Case("capped", sparse, 0, {"r": 0.4, "alpha": 0.1}),
        Case("r_zero", sparse, 0, {"r": 0.0}),
    ]


CASES = {
    "linear": linear,
    "slerp": slerp,
    "nuslerp": nuslerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "task_arithmetic": task_arithmetic,
    "ties": ties,
    "dare_linear": random_without_chance,
    "dare_ties": random_without_chance,
    "della": random_without_chance,
    "della_linear": random_without_chance,
    "breadcrumbs": breadcrumbs,
    "breadcrumbs_ties": breadcrumbs,
    "sce": sce,
    "model_stock": model_stock,
    "nearswap": nearswap,
    "arcee_fusion": arcee_fusion,
    "passthrough": passthrough,
    "ram": ram,
    "ramplus_tl": ramplus_tl,
}


def chances(method):
    """Cases of the random methods in which chance decides."""
    if method not in ("dare_linear", "dare_ties", "della", "della_linear"):
        return []
    epsilon = {"epsilon": [0.1, 0.2]} if method.startswith("della") else {}
    one = {key: values[:1] for key, values in epsilon.items()}
    cases = []
    for rescale in (True, False):
        how = "rescale" if rescale else "no_rescale"
        both = {"weight": [0.5, 0.4], "density": [0.6, 0.4], "rescale": rescale} | epsilon
        single = {"weight": [1.0], "density": [0.6], "rescale": rescale} | one
        cases += [
            Case(f"vector_{how}", named("vector", "base", "far1"), 0, single),
            Case(f"conv_{how}", named("conv", "base", "far1"), 0, single),
            Case(f"matrix_two_{how}", named("matrix", "base", "far1", "far2"), 0, both),
        ]
    return cases
