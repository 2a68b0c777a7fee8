"""Two modalities: the softmax in both directions, the pairwise sigmoid, ids, and blocks of scores."""
# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportPossiblyUnboundVariable=false, reportAssignmentType=false

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lossary.core import device as _device
from lossary.kernels.rows import blocks, exponentials, symmetric
from lossary.kernels.rows import formula as rows
from lossary.losses.views.mutual import SigLIPLoss, clip_loss, siglip_loss
from lossary.losses.views.retrieval import multiple_negatives_ranking_loss


def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    image, text = (torch.randn(5, 4, generator=g, dtype=torch.float64) for _ in range(2))
    return image, text


def cosines(image: Tensor, text: Tensor) -> Tensor:
    return F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T


def test_clip_is_a_cross_entropy_in_both_directions() -> None:
    image, text = batch()
    scores, labels = cosines(image, text) / 0.2, torch.arange(5)
    expected = (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
    torch.testing.assert_close(clip_loss(image, text, temperature=0.2), expected)
    torch.testing.assert_close(clip_loss(text, image, temperature=0.2), expected)
    symmetric_ranking = multiple_negatives_ranking_loss(image, text, scale=5.0, symmetric=True)
    torch.testing.assert_close(symmetric_ranking, expected)


def test_siglip_asks_a_question_of_every_pair() -> None:
    image, text = batch()
    signs = 2 * torch.eye(5, dtype=torch.float64) - 1
    expected = -F.logsigmoid(signs * (7 * cosines(image, text) - 3)).sum() / 5
    torch.testing.assert_close(siglip_loss(image, text, scale=7.0, bias=-3.0), expected)


@pytest.mark.parametrize("loss", [clip_loss, siglip_loss])
def test_pairs_of_one_id_are_not_each_other_s_negatives(loss) -> None:
    image, text = batch()
    each = loss(image, text, ids=torch.tensor([7, 3, 7, 4, 4]), reduction="none")
    kept = [0, 1, 3, 4]  # the first pair's loss is as if the third were not there
    torch.testing.assert_close(each[0], loss(image[kept], text[kept], reduction="none")[0])
    torch.testing.assert_close(loss(image, text, ids=torch.arange(5) * 3), loss(image, text))


@pytest.mark.parametrize("tame", [True, False])
@pytest.mark.parametrize("ids", [None, torch.tensor([7, 3, 7, 4, 4])])
@pytest.mark.parametrize("loss", [clip_loss, siglip_loss])
def test_blocks_of_scores_change_nothing(loss, ids: Tensor | None, tame: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def results() -> list[Tensor]:
        image, text = (t.requires_grad_() for t in batch())
        value = loss(image, text, ids=ids)
        first = torch.autograd.grad(value, (image, text), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (image, text))
        return [value, *first, *second]

    whole = results()
    monkeypatch.setattr(rows, "CPU_PLAIN", 0)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 2)
    monkeypatch.setattr(symmetric, "TILE", 2)
    monkeypatch.setattr(exponentials, "TAME", 100.0 if tame else -1.0)
    for got, wanted in zip(results(), whole, strict=True):
        torch.testing.assert_close(got, wanted)


def test_siglip_never_holds_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_device, "budget", lambda _: 2**18)
    monkeypatch.setattr(blocks, "CPU_LARGEST_BLOCK", 2**18)
    image, text = (torch.randn(2048, 8, requires_grad=True) for _ in range(2))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        siglip_loss(image, text).backward()
    held = peak = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert peak < 4 * 2048 * 2048 / 2


def test_scale_and_bias_learn() -> None:
    image, text = (torch.randn(600, 4) for _ in range(2))  # large enough for blocks
    loss = SigLIPLoss(scale=torch.nn.Parameter(torch.tensor(5.0)), bias=torch.nn.Parameter(torch.tensor(-2.0)))
    loss(image, text).backward()
    scores = cosines(image, text)
    signs = 2 * torch.eye(600) - 1
    by_score = -signs * torch.sigmoid(-signs * (5 * scores - 2)) / 600
    torch.testing.assert_close(loss.bias.grad, by_score.sum())
    torch.testing.assert_close(loss.scale.grad, (by_score * scores).sum())
