"""In-batch losses by blocks: masks, ids and labels reach the same values and gradients as all scores at once."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import lossary.functional as F
from lossary.kernels import distances
from lossary.kernels.rows import bands, blocks
from lossary.kernels.rows import formula as rows

LABELS, IDS = torch.tensor([0, 1, 0, 2, 1, 0, 1, 0, 2, 1]), torch.tensor([4, 9, 9, 5, 4, 4, 9, 9, 5, 4])
MASK = torch.tensor([True, True, True, False, True, True, True, False, True, True])

LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "supcon, mask": lambda x: F.supcon_loss(x, LABELS, mask=MASK),
    "supcon, mask and ids": lambda x: F.supcon_loss(x, LABELS, ids=IDS, mask=MASK),
    "multi-similarity": lambda x: F.multi_similarity_loss(x, LABELS),
    "multi-similarity, mask and ids": lambda x: F.multi_similarity_loss(x, LABELS, ids=IDS, mask=MASK),
    "nt-xent of labels, ids": lambda x: F.nt_xent_loss(x, LABELS, ids=IDS),
    "nt-xent of views, mask": lambda x: F.nt_xent_loss(x[:5], x[5:], mask=MASK[:5]),
    "info-nce, ids": lambda x: F.info_nce_loss(x[:5], x[5:], ids=IDS[:5]),
    "ranking, ids, hard negatives": lambda x: F.multiple_negatives_ranking_loss(x[:5], x[5:], x[1:4] + 1, ids=IDS[:5]),
    "contrastive of labels": lambda x: F.contrastive_loss(x, LABELS, margin=3.0),
    "contrastive of labels, mask": lambda x: F.contrastive_loss(x, LABELS, margin=3.0, mask=MASK),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_blocks_change_nothing(loss: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def results() -> list[Tensor]:
        value = loss(x)
        return [value, *torch.autograd.grad(value, x)]

    whole = results()
    monkeypatch.setattr(rows, "CPU_PLAIN", 0)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 3)
    monkeypatch.setattr(bands, "STEP", 2)
    monkeypatch.setattr(distances, "WRITTEN_OUT", 0)
    monkeypatch.setattr(distances, "CACHED_DISTANCES", 8)
    for got, wanted in zip(results(), whole, strict=True):
        torch.testing.assert_close(got, wanted)
