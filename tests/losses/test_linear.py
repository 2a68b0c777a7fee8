"""Multiclass losses over features against the same losses over ready scores."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossary
from lossary import LinearHead, linear_loss
from lossary.catalogue import find

LOSSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("cross_entropy", {"weight": torch.linspace(0.5, 2.0, 7, dtype=torch.float64)}),
    ("cross_entropy", {"label_smoothing": 0.1, "weight": torch.linspace(0.5, 2.0, 7, dtype=torch.float64)}),
    ("focal_loss", {"gamma": 0.5, "class_weight": torch.linspace(0.5, 2.0, 7, dtype=torch.float64)}),
    ("poly_loss", {"epsilon": 2.0}),
    ("poly_focal_loss", {"gamma": 1.5}),
)


def batch(n: int = 12, classes: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 5, generator=g, dtype=torch.float64, requires_grad=True)
    w = torch.randn(classes, 5, generator=g, dtype=torch.float64, requires_grad=True)
    b = torch.randn(classes, generator=g, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(classes, (n,), generator=g)
    labels[3] = -100
    return x, w, labels, b


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(("name", "options"), LOSSES)
@pytest.mark.parametrize("plain", [-1, 1 << 18], ids=["blocks", "ready scores"])
def test_over_features_is_over_scores(
    name: str, options: dict[str, Any], reduction: str, plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossary.kernels.rows.formula.CPU_PLAIN", plain)
    x, w, labels, b = batch()
    loss = find(name).module(**options)
    found = linear_loss(loss, x, w, labels, b, reduction=reduction)
    wanted = loss(x @ w.T + b, labels, reduction=reduction)
    torch.testing.assert_close(found, wanted)
    gradients = (torch.autograd.grad(value.square().sum(), (x, w, b)) for value in (found, wanted))
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("options", [options for name, options in LOSSES if name == "cross_entropy"])
@pytest.mark.parametrize("plain", [-1, 1 << 18], ids=["blocks", "ready scores"])
def test_cross_entropy_takes_soft_labels(
    options: dict[str, Any], reduction: str, plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossary.kernels.rows.formula.CPU_PLAIN", plain)
    x, w, _, b = batch()
    soft = torch.rand(12, 7, dtype=torch.float64)
    loss = lossary.CrossEntropyLoss(**options)
    extra = {"reduction": reduction, "sample_weight": torch.rand(12, dtype=torch.float64), "mask": soft[:, 0] > 0.2}
    found = linear_loss(loss, x, w, soft, b, **extra)
    wanted = loss(x @ w.T + b, soft, **extra)
    torch.testing.assert_close(found, wanted)
    gradients = (torch.autograd.grad(value.square().sum(), (x, w, b)) for value in (found, wanted))
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected)
    with pytest.raises(TypeError, match="labels: wanted integer labels"):
        linear_loss(lossary.FocalLoss(), x, w, soft, b)
    with pytest.raises(TypeError, match=r"target: .*in the shape of input, \(12, 7\)"):
        linear_loss(loss, x, w, soft[:, :6], b)


def test_function_and_its_hyperparameters() -> None:
    x, w, labels, _ = batch()
    found = linear_loss(lossary.focal_loss, x, w, labels, gamma=5.0)
    torch.testing.assert_close(found, lossary.focal_loss(x @ w.T, labels, gamma=5.0))


def test_scores_are_never_held_whole() -> None:
    x, w, labels, b = (t.detach() for t in batch(1024, 2048))
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        linear_loss(lossary.FocalLoss(), x.requires_grad_(), w.requires_grad_(), labels, b)
    assert max(kept.values()) < 1024 * 2048 / 100
    assert sum(kept.values()) < 1024 * 2048 / 10


def test_a_loss_of_ready_scores_is_refused_with_the_names_of_the_others() -> None:
    x, w, labels, _ = batch()
    for loss in (lossary.multiclass_hinge_loss, lossary.MulticlassHingeLoss()):
        with pytest.raises(
            TypeError, match=r"cross_entropy, focal_loss, poly_loss, poly_focal_loss.*multiclass_hinge_loss"
        ):
            linear_loss(loss, x, w, labels)
    with pytest.raises(TypeError, match="labels: wanted integer"):
        linear_loss(lossary.poly_loss, x, w, torch.zeros(12, 7))


@pytest.mark.parametrize(
    ("name", "replaced"),
    [
        ("features", (0, torch.zeros(12, 1, 5))),
        ("weight", (1, torch.zeros(7, 4))),
        ("labels", (2, torch.zeros(1).long())),
        ("bias", (3, torch.zeros(6))),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, replaced: tuple[int, Tensor]) -> None:
    arguments = list(batch())
    arguments[replaced[0]] = replaced[1]
    with pytest.raises(ValueError, match=rf"^{name}: wanted"):
        linear_loss(lossary.cross_entropy, *arguments)


def test_head_owns_a_linear_layer_that_can_be_shared() -> None:
    torch.manual_seed(0)
    head = LinearHead(lossary.CrossEntropyLoss(label_smoothing=0.1), num_classes=7, embedding_size=5)
    x, labels = torch.randn(4, 5), torch.tensor([0, 6, 3, -100])
    wanted = lossary.cross_entropy(head.get_logits(x), labels, label_smoothing=0.1)
    torch.testing.assert_close(head(x, labels), wanted)
    assert {name for name, _ in head.named_parameters()} == {"linear.weight", "linear.bias"}
    other = LinearHead(lossary.CrossEntropyLoss(label_smoothing=0.1), num_classes=7, embedding_size=5)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(x, labels), head(x, labels))
    other.linear = torch.nn.Linear(5, 7, bias=False)
    assert torch.equal(other(x, labels, reduction="none")[3], torch.tensor(0.0))


def test_head_learns() -> None:
    torch.manual_seed(0)
    head = LinearHead(lossary.FocalLoss(), num_classes=10, embedding_size=10)
    optimiser = torch.optim.SGD(head.parameters(), lr=20.0)
    x, labels = torch.eye(10), torch.arange(10)
    for _ in range(50):
        optimiser.zero_grad()
        head(x, labels).backward()
        optimiser.step()
    assert torch.equal(head.get_logits(x).argmax(1), labels)


@pytest.mark.parametrize("plain", [-1, 1 << 18], ids=["blocks", "ready scores"])
def test_the_loss_of_half_features_is_float32_but_where_torch_has_the_name(
    plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossary.kernels.rows.formula.CPU_PLAIN", plain)
    x, w, labels, _ = batch()
    x, w = x.detach().bfloat16(), w.detach().bfloat16()
    wanted = lossary.cross_entropy(x.double() @ w.double().T, labels)
    found = linear_loss(lossary.cross_entropy, x, w, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=0)
    assert lossary.linear_cross_entropy(x, w, labels).dtype == torch.bfloat16
