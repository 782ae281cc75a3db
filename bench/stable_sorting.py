"""Makes mergekit break ties between equal magnitudes as a stable sort does: the lower index comes first.

PyTorch's sorts promise no order among equal values, and `topk` none either, so what mergekit keeps of tied entries
depends on the processor. bf16 and f16 task vectors are full of ties; to compare entry by entry, one order is needed.
"""

from contextlib import contextmanager
from unittest import mock

import torch

_sort = torch.sort


def sort(tensor, dim=-1, descending=False, **_):
    return _sort(tensor, dim=dim, descending=descending, stable=True)


def argsort(tensor, dim=-1, descending=False, **_):
    return sort(tensor, dim, descending).indices


def topk(tensor, k, dim=-1, largest=True, **_):
    result = sort(tensor, dim, largest)
    return result.values.narrow(dim, 0, k), result.indices.narrow(dim, 0, k)


@contextmanager
def stable_sorting():
    """Within this context the sorts that mergekit calls are stable."""
    with (
        mock.patch.object(torch, "sort", sort),
        mock.patch.object(torch, "argsort", argsort),
        mock.patch.object(torch, "topk", topk),
        mock.patch.object(torch.Tensor, "argsort", argsort),
    ):
        yield


def main():
    """Runs `mergekit-yaml` with its own arguments under stable sorting."""
    from mergekit.scripts.run_yaml import main as mergekit_yaml

    with stable_sorting():
        mergekit_yaml()


if __name__ == "__main__":
    main()
