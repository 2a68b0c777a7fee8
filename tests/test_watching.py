"""Watching a loss: the numbers are right, the training is left alone, misuse is called by its name."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lossary
import samples
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.core.loss import HeadLoss
from lossary.watching.advice import FACTS, advice


def embeddings(rows: int = 64, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def facts(loss: nn.Module, *args: Tensor, **extra: Tensor) -> dict[str, float]:
    """Of one training step."""
    with lossary.watch(loss) as watched:
        loss(*args, **extra).sum().backward()
    return watched.facts()[type(loss).__name__]


def said(loss: nn.Module, *args: Tensor) -> str:
    with lossary.watch(loss) as watched:
        loss(*args).sum().backward()
    return watched.advice()


@pytest.mark.parametrize("card", CATALOGUE, ids=lambda card: card.name)
def test_every_loss_can_be_watched_and_is_left_alone(card: Card) -> None:
    for call in (
        samples.draw(card, torch.Generator().manual_seed(0), torch.float32),
        *samples.of(card).edges(torch.float32),
    ):
        given = call.args
        if issubclass(card.module, HeadLoss) or "embedding_size" in card.module.fields:
            loss = card.module(num_classes=call.args[1].shape[0], embedding_size=call.args[0].shape[1])
            given = (call.args[0], *call.args[2:])
        else:
            loss = card.module()
        loss.eval()  # what it remembers of its batches stays
        plain, seen = (given[0].clone().requires_grad_(given[0].is_floating_point()) for _ in range(2))
        try:
            loss(plain, *given[1:], **call.kwargs).sum().backward()
        except (TypeError, ValueError, IndexError, RuntimeError):
            continue  # an edge for the function alone
        with lossary.watch(loss) as watched:
            loss(seen, *given[1:], **call.kwargs).sum().backward()
        torch.testing.assert_close(seen.grad, plain.grad, rtol=0, atol=0, equal_nan=True)
        assert set(watched.facts()[card.module.__name__]) <= set(FACTS)
        assert watched.advice()


def test_facts_of_scores_are_what_they_are_called() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    found = facts(lossary.CrossEntropyLoss(), logits, labels)
    assert found["target_probability"] == pytest.approx(logits.softmax(1)[range(3), labels].mean().item())
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert found["classes"] == 2
    assert set(found) <= set(FACTS)


def test_rows_that_satisfy_the_margin_have_no_gradient_and_no_violation() -> None:
    scores = torch.tensor([[5.0, 0.0, 0.0], [0.5, 0.0, 0.0], [7.0, 5.0, 0.0], [9.0, 0.0, 0.0]], requires_grad=True)
    found = facts(lossary.MulticlassHingeLoss(), scores, torch.zeros(4, dtype=torch.int64))
    assert (found["margin_violations"], found["idle_rows"]) == (0.25, 0.75)


def test_rows_that_do_not_count_are_not_idle() -> None:
    logits = torch.zeros(4, 3, requires_grad=True)
    labels = torch.tensor([0, 1, -100, -100])
    assert facts(lossary.CrossEntropyLoss(), logits, labels)["idle_rows"] == 0
    mask = torch.tensor([True, True, False, False])
    assert facts(lossary.FocalLoss(), logits, labels.clamp_min(0), mask=mask)["idle_rows"] == 0


def test_pixels_are_rows() -> None:
    logits = torch.zeros(2, 3, 40, 40)
    logits[:, 1] = 50.0
    found = facts(lossary.CrossEntropyLoss(), logits.requires_grad_(), torch.ones(2, 40, 40, dtype=torch.int64))
    assert found["target_probability"] == pytest.approx(1)


def test_only_the_gradient_of_the_watched_loss_is_seen() -> None:
    scores = torch.tensor([[5.0, 0.0], [0.0, 5.0]], requires_grad=True)
    loss, labels = lossary.MulticlassHingeLoss(), torch.tensor([0, 1])
    with lossary.watch(loss) as watched:
        (loss(scores, labels) + scores.square().sum()).backward()
    assert watched.facts()["MulticlassHingeLoss"]["idle_batches"] == 1


def test_nothing_is_seen_after_the_block_or_without_gradients() -> None:
    loss, logits, labels = lossary.CrossEntropyLoss(), torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 1])
    with lossary.watch(loss) as watched, torch.no_grad():
        loss(logits, labels)
    loss(logits, labels).backward()
    assert watched.facts() == {"CrossEntropyLoss": {}}
    assert "No batch was seen" in watched.advice()


def test_directions_of_embeddings() -> None:
    loss, labels = lossary.SupConLoss(), torch.arange(64) % 8
    axes = torch.eye(8).repeat(8, 1).requires_grad_()
    found = facts(loss, axes, labels)
    assert found["norm"] == pytest.approx(1)
    assert found["effective_rank"] == pytest.approx(7)  # eight corners around their mean
    assert found["possible_rank"] == 7
    assert found["cosine"] == pytest.approx((64 * 7) / (64 * 63))
    collapsed = (torch.ones(64, 8) + 0.01 * torch.randn(64, 8)).requires_grad_()
    assert "collapsed" in said(loss, collapsed, labels)
    assert "collapsed" not in said(loss, embeddings(), labels)


def test_classes_that_are_not_learnt_have_the_larger_gradients() -> None:
    logits = torch.zeros(80, 2)
    logits[:40, 0] = 6.0
    labels = torch.arange(80) // 40
    found = facts(lossary.CrossEntropyLoss(), logits.requires_grad_(), labels)
    assert found["class_gradient_ratio"] == pytest.approx(
        (1 - 0.5) / (1 - torch.sigmoid(torch.tensor(6.0)).item()), 1e-3
    )
    assert (found["class_of_most_gradient"], found["class_of_least_gradient"]) == (1, 0)
    assert "A row of class 1 gets 202 times the gradient of a row of class 0: some classes are learnt" in said(
        lossary.CrossEntropyLoss(), logits, labels
    )


def test_a_class_is_called_by_its_name() -> None:
    found = {"class_gradient_ratio": 30.0, "class_of_most_gradient": 1.0, "class_of_least_gradient": 0.0}
    assert "class 'a\\nb' gets 30 times the gradient of a row of class 'cat'" in advice(found, ["cat", "a\nb"])[0]
    assert "a row of the class with the smallest" in advice({"class_gradient_ratio": 30.0}, ["cat", "dog"])[0]


def test_margins_of_heads() -> None:
    axes, labels = torch.eye(3).requires_grad_(), torch.tensor([0, 1, 2])
    for head, met in ((lossary.CosFaceLoss, 0.9), (lossary.ArcFaceLoss, 1.5)):
        for margin, missing in ((met, 0.0), (met * 1.2, 1.0)):
            loss = head(num_classes=3, embedding_size=3, margin=margin)
            with torch.no_grad():
                loss.weight.copy_(torch.eye(3))
            assert facts(loss, axes, labels)["margin_violations"] == missing


def all_gaps(x: Tensor, labels: Tensor) -> list[float]:
    """Of every triplet of a batch d(a, p) - d(a, n)."""
    d, n = torch.cdist(x, x).tolist(), range(len(x))
    same = (labels[:, None] == labels).tolist()
    return [d[a][p] - d[a][q] for a in n for p in n if a != p and same[a][p] for q in n if not same[a][q]]


@pytest.mark.parametrize("mining", ["hard", "semihard", "all"])
@pytest.mark.parametrize("margin", [0.3, None])
def test_triplets_that_lack_their_margin(mining: str, margin: float | None) -> None:
    x, labels = embeddings(24, 4), torch.arange(24) % 5
    gaps = torch.tensor(all_gaps(x.detach(), labels)) + (margin or 0.0)
    found = facts(lossary.TripletLoss(margin=margin, mining=mining), x, labels)  # pyright: ignore[reportArgumentType]
    assert found["margin_violations"] == pytest.approx((gaps > 0).float().mean().item())
    assert ("idle_tuples" in found) is (margin is not None and mining != "all")


def test_idle_triplets_are_those_that_were_mined() -> None:
    # On a line the farthest positive is 1 away, the nearest negative 2, and 3 seen from either end.
    x, labels = torch.tensor([[0.0], [1.0], [3.0], [4.0]], requires_grad=True), torch.tensor([0, 0, 1, 1])
    found = facts(lossary.TripletLoss(margin=1.5), x, labels)
    assert (found["idle_tuples"], found["margin_violations"]) == (0.5, 0.25)
    given = tuple(torch.tensor(t) for t in ([0, 1], [1, 0], [2, 2]))
    with lossary.watch(loss := lossary.TripletLoss(margin=1.5)) as watched:
        loss(x, None, triplets=given).backward()
    assert watched.facts()["TripletLoss"]["idle_tuples"] == 0.5
    of_all = facts(lossary.TripletLoss(margin=1.5, mining="all", average="all"), x, labels)
    assert (of_all["idle_tuples"], of_all["margin_violations"]) == (0.75, 0.25)


def test_triplets_that_are_given_lack_their_margin_or_are_idle() -> None:
    anchor, positive, negative = (torch.tensor(v)[:, None] for v in ([0.0] * 4, [1.0] * 4, [1.5, 2.5, 3.0, 0.0]))
    found = facts(lossary.TripletMarginLoss(), anchor.requires_grad_(), positive, negative)
    assert (found["margin_violations"], found["idle_tuples"]) == (0.5, 0.5)
    mask = torch.tensor([True, False, False, True])
    assert facts(lossary.TripletMarginLoss(), anchor, positive, negative, mask=mask)["idle_tuples"] == 0


def test_dissimilar_pairs_that_lack_their_margin() -> None:
    x, labels = torch.tensor([[0.0], [0.0], [0.5], [4.0]], requires_grad=True), torch.tensor([0, 0, 1, 1])
    found = facts(lossary.ContrastiveLoss(), x, labels)
    assert found["margin_violations"] == 0.5  # the first two and the third
    assert found["idle_tuples"] == 0.5  # both of the same place, and two that are far enough away
    given = facts(lossary.ContrastiveLoss(similar_label=0), x, x.detach().flip(0), torch.tensor([1, 0, 0, 1]))
    assert (given["margin_violations"], given["idle_tuples"]) == (0, 0.5)
    assert "idle_tuples" not in facts(lossary.ContrastiveLoss(), x[:1], labels[:1])


def test_pairs_without_a_gradient_are_said_to_shrink_the_others() -> None:
    far = (10 * torch.eye(64)).requires_grad_()
    with torch.no_grad():
        far[0, 1] = 10
    assert "98% of the triplets or pairs in the mean have no gradient" in said(
        lossary.ContrastiveLoss(), far, torch.arange(64) // 2
    )


LABELS = torch.arange(64) % 8
MISUSE: dict[str, tuple[nn.Module, tuple[Tensor, ...], str]] = {
    "scale": (lossary.CosFaceLoss(100, 16, scale=1.0), (embeddings(), LABELS), "scale of 1 is too small"),
    "cosines": (lossary.CrossEntropyLoss(), (embeddings().tanh(), LABELS), "multiply them by a scale"),
    "probabilities": (lossary.CrossEntropyLoss(), (embeddings().softmax(1), LABELS), "leave out the softmax"),
    "alone": (lossary.SupConLoss(), (embeddings(), torch.arange(64)), "several items per label"),
    "pairs of one": (lossary.ContrastiveLoss(), (embeddings(), torch.arange(64)), "several items per label"),
    "speakers alone": (lossary.GE2ELoss(), (embeddings(), torch.arange(64)), "several items per label"),
    "sigmoid twice": (
        lossary.SigmoidFocalLoss(),
        (embeddings().sigmoid(), (embeddings() > 1).long()),
        "leave out the sigmoid",
    ),
    "no negatives": (lossary.TripletLoss(), (embeddings(), LABELS * 0), "no negatives"),
    "inactive": (
        lossary.TripletLoss(margin=0.1),
        ((100 * torch.eye(8)).repeat(8, 1).requires_grad_(), LABELS),
        "already satisfies",
    ),
    "classes as numbers": (lossary.MSELoss(), (embeddings(64, 1)[:, 0], LABELS.float()), "name classes"),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_called_by_its_name(case: str) -> None:
    loss, args, sentence = MISUSE[case]
    assert sentence in said(loss, *args)


def test_a_batch_without_pairs_is_not_called_satisfied() -> None:
    assert "already satisfies" not in said(lossary.SupConLoss(), embeddings(), torch.arange(64))


@pytest.mark.parametrize(
    ("loss", "inputs", "labels", "sentence"),
    [
        (lossary.FocalLoss(), embeddings(64, 8), LABELS.float(), "labels.long()"),
        (lossary.CrossEntropyLoss(), embeddings(64, 8), LABELS.float(), "labels.long()"),
        (lossary.TripletLoss(), embeddings(), LABELS.float(), "labels.long()"),
        (lossary.ContrastiveLoss(), embeddings(), LABELS.float(), "labels.long()"),
        (lossary.CosFaceLoss(8, 16), embeddings(), LABELS.float(), "labels.long()"),
        (lossary.FocalLoss(), embeddings(64, 1), LABELS * 0, "one channel"),
        (lossary.DiceLoss(), embeddings(64, 1)[None].mT, LABELS[None] * 0, "one channel"),
    ],
)
def test_what_the_loss_refuses_is_explained_too(loss: nn.Module, inputs: Tensor, labels: Tensor, sentence: str) -> None:
    with lossary.watch(loss) as watched, pytest.raises((TypeError, ValueError)):
        loss(inputs, labels)
    (line,) = watched.advice().splitlines()
    assert sentence in line


def test_ordinary_training_is_not_blamed() -> None:
    ordinary = (
        (lossary.CrossEntropyLoss(), (3 * embeddings(64, 8), LABELS)),
        (lossary.TripletLoss(), (embeddings(), LABELS)),
        (lossary.HuberLoss(), (embeddings(), torch.randn(64, 16))),
    )
    for loss, args in ordinary:
        assert said(loss, *args) == "Nothing out of the ordinary."


def test_losses_inside_a_module_are_told_apart() -> None:
    both = lossary.Sum(ce=lossary.CrossEntropyLoss(), hinge=lossary.MulticlassHingeLoss())
    with lossary.watch(both) as watched:
        both(embeddings(64, 8).softmax(1), LABELS).backward()
    assert len(watched.facts()) == 2
    assert all(line.startswith("terms.") for line in watched.advice().splitlines())


def test_what_holds_no_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss: wanted a loss of the catalogue.*got Linear"):
        lossary.watch(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="loss: wanted a loss Module; got function"):
        lossary.watch(lossary.cross_entropy)  # pyright: ignore[reportArgumentType]


def test_the_page_in_the_docs_runs_and_says_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "watching.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(code, {})
    quoted = " ".join(line.removeprefix("> ") for line in page.splitlines() if line.startswith("> "))
    assert capsys.readouterr().out.splitlines()[0] == quoted
