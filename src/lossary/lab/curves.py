"""A loss and its gradient as curves over the one score that matters to it.

The score is the residual, the signed logit, the true class's logit, an angle or a distance: a *scene* turns it
into a batch in which everything else stands still. Which scene fits a loss is read off its card and its
function's positional arguments, so that a new loss in an existing form is drawn without a change here.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt
    from torch import Tensor

    from lossary.cards import Card

    Chart = alt.Chart | alt.HConcatChart

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
POINTS = 121


@dataclass(frozen=True)
class Scene:
    """A batch that depends on one score."""

    axis: str
    low: float
    high: float
    place: Callable[["Tensor"], tuple["Tensor", ...]]  # a 0-d score -> the loss's positional arguments
    unit: float = 1.0  # how one unit of the score is printed: 180 / pi for an angle
    label: str = ""  # which of a loss's scenes this is, where it has several


def scenes(card: "Card") -> tuple[Scene, ...]:
    """The scenes that show ``card``'s loss; none where its arguments have no form that is known here."""
    takes = inspect.signature(card.fn).parameters.values()
    names = tuple(p.name for p in takes if p.kind is not p.KEYWORD_ONLY and p.default is p.empty)
    match card.data, names:
        case _, ("embeddings", "weight", "labels"):
            return (Scene("angle to the own class, degrees (others at 90)", 0, pi, _head, unit=180 / pi),)
        case _, ("embeddings", "centers", "labels"):
            return (Scene("distance to the own center", 0, 3, _center),)
        case _, ("input1", "input2", "target"):
            return _on_two(card)
        case "triplets", (_, _, _):
            return (Scene("distance to the negative (positive at 1)", 0, 3, _triplet),)
        case "views", (_, _):
            return (Scene("angle to the other view, degrees (others at 90)", 0, pi, _views, unit=180 / pi),)
        case "pairs", ("input", "target"):
            return (
                Scene("distance", 0, 2, lambda s: (s[None], s.new_ones(1)), label="similar"),
                Scene("distance", 0, 2, lambda s: (s[None], -s.new_ones(1)), label="dissimilar"),
            )
        case "pairs" | "identities", (_, _):
            return _on_embeddings(card)
        case "lists", (_, _):
            return (Scene("score of the one relevant candidate (two others at 0)", -6, 6, _list),)
        case "values" | "binary" | "classes" | "masks", (_, _):
            return _on_input(card)
        case _:
            return ()


def draw(card: "Card") -> "Chart":
    """Loss and gradient side by side: at the defaults, and at other hyperparameters where the card names some.

    Raises:
        LookupError: The loss is no function of one score (see :func:`scenes`).
    """
    import altair as alt

    rows = [row for scene in scenes(card) for row in _rows(card, scene)]
    if not rows:
        raise LookupError(f"{card.name} has no curve: it is no function of one score")
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=500) if len(settings) > 1 else None
    base = (
        alt.Chart(alt.Data(values=rows), width=300, height=220)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("score:Q", title=scenes(card)[0].axis, scale=alt.Scale(nice=False)),
            color=alt.Color("setting:N", sort=settings, legend=legend, scale=alt.Scale(range=list(COLOURS))),
        )
    )
    panels = (base.encode(y=alt.Y(f"{y}:Q", title=y)) for y in ("loss", "gradient"))
    chart = alt.hconcat(*panels, background="white", title=card.name)
    return chart.configure(font="Liberation Sans, Arial, sans-serif").configure_axis(
        gridColor="#eee", titleFontWeight="normal"
    )


def save(card: "Card", path: Path) -> None:
    """Draw into a file; its suffix (.png, .svg, .html) decides the form."""
    # Twice the size in pixels: sharp on today's screens.
    draw(card).save(path, scale_factor=2)


def _rows(card: "Card", scene: Scene) -> Iterator[dict[str, Any]]:
    seen: list[list[tuple[float, float]]] = []
    # Scenes beside each other are compared at the defaults; a single one shows what hyperparameters do.
    for variant in ({},) if scene.label else card.variants:
        if len(seen) == len(COLOURS):
            return
        if not all(isinstance(value, float) for value in variant.values()):
            continue  # a switch changes what is drawn (log-probabilities for logits); a tensor fits one batch only
        curve = [_at(card, scene, variant, i / (POINTS - 1)) for i in range(POINTS)]
        if curve in seen:  # a hyperparameter that this scene does not show
            continue
        seen.append(curve)
        setting = ", ".join(f"{k}={v}" for k, v in variant.items()) or "defaults"
        setting = f"{scene.label}: {setting}" if scene.label else setting
        for i, (loss, gradient) in enumerate(curve):
            score = (scene.low + (scene.high - scene.low) * i / (POINTS - 1)) * scene.unit
            yield {"score": _short(score), "loss": loss, "gradient": gradient, "setting": setting}


def _at(card: "Card", scene: Scene, variant: Mapping[str, Any], share: float) -> tuple[float, float]:
    """Loss and gradient in the score at ``share`` of the way from ``low`` to ``high``."""
    import torch

    score = torch.tensor(scene.low + (scene.high - scene.low) * share, dtype=torch.float64, requires_grad=True)
    loss = card.fn(*scene.place(score), **variant)
    (gradient,) = torch.autograd.grad(loss.mean(), score)
    return _short(loss.mean().item()), _short(gradient.item())


def _short(value: float) -> float:
    # Six digits, and 0 for rounding errors, draw the same line and give the same file on every machine.
    return float(f"{round(value, 9):.6g}") + 0.0


def _on_input(card: "Card") -> tuple[Scene, ...]:
    import torch
    from torch.nn.functional import one_hot

    # The card's own batch tells what the input is (logits, probabilities, log-probabilities) and the target.
    drawn = [card.draw(torch.Generator().manual_seed(seed), torch.float64).args for seed in range(8)]
    inputs = torch.cat([args[0].detach().flatten() for args in drawn])
    target = drawn[0][1]
    probable = bool(inputs.min() >= 0 and inputs.max() <= 1)
    if card.data == "values":
        return (Scene("input - target, at target 0", -3, 3, lambda s: (s[None], s.detach()[None] * 0)),)
    if card.data == "binary":
        if any(args[1].abs().max() > 1 for args in drawn):  # lists of classes, no answers
            return ()
        if probable:
            return (Scene("probability, where the target is 1", 0.02, 0.98, lambda s: (s[None], s.new_ones(1))),)
        return (Scene("logit, where the target is 1", -6, 6, lambda s: (s[None], s.new_ones(1))),)
    if card.data == "classes":
        logits = lambda s: torch.cat([s[None], s.new_zeros(2)])[None]  # noqa: E731
        given = (lambda s: logits(s).log_softmax(1)) if bool(inputs.max() <= 0) else logits
        soft = target.dtype.is_floating_point
        true = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64) if soft else torch.tensor([0])
        return (Scene("logit of the true class (two others at 0)", -6, 6, lambda s: (given(s), true)),)
    if target.shape == drawn[0][0].shape:
        sign = 2.0 * target.double() - 1
        return (Scene("logit of the truth at every pixel", -6, 6, lambda s: (s * sign, target)),)
    true = one_hot(target.long().clamp_min(0), drawn[0][0].shape[1]).movedim(-1, 1).double()
    return (Scene("logit of the true class at every pixel", -6, 6, lambda s: (s * true, target)),)


def _on_two(card: "Card") -> tuple[Scene, ...]:
    import torch

    input1, _, target = card.draw(torch.Generator().manual_seed(0), torch.float64).args
    if input1.shape == target.shape:  # scores to be ranked; embeddings have a dimension more than their target
        return (Scene("input1 - input2, where input1 should be larger", -3, 3, _ranked),)
    turned = lambda s: (_axes(s, 2)[:1], _turned(s, _axes(s, 2)))  # noqa: E731
    axis = "angle between the two, degrees"
    return (
        Scene(axis, 0, pi, lambda s: (*turned(s), s.new_ones(1)), unit=180 / pi, label="similar"),
        Scene(axis, 0, pi, lambda s: (*turned(s), -s.new_ones(1)), unit=180 / pi, label="dissimilar"),
    )


def _on_embeddings(card: "Card") -> tuple[Scene, ...]:
    import torch

    if card.data == "pairs":
        same, other = torch.tensor([0, 0]), torch.tensor([0, 1])
        return (
            Scene("distance", 0, 2, lambda s: (_apart(s), same), label="same class"),
            Scene("distance", 0, 2, lambda s: (_apart(s), other), label="different classes"),
        )
    if card.kernel == "tuples":
        labels = torch.tensor([0, 0, 1])
        axis = "distance of the other class (own class at 1)"
        return (Scene(axis, 0, 3, lambda s: (torch.cat(_triplet(s)), labels)),)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    axis = "angle between two of one class, degrees (others at 90)"
    return (Scene(axis, 0, pi, lambda s: (torch.cat(_views(s)), labels), unit=180 / pi),)


def _axes(score: "Tensor", count: int) -> "Tensor":
    import torch

    return torch.eye(count, dtype=score.dtype)


def _ranked(score: "Tensor") -> tuple["Tensor", ...]:
    return score[None], score.new_zeros(1), score.new_ones(1)


def _list(score: "Tensor") -> tuple["Tensor", ...]:
    import torch

    return torch.cat([score[None], score.new_zeros(2)])[None], torch.tensor([[1, 0, 0]])


def _turned(score: "Tensor", axes: "Tensor") -> "Tensor":
    """The first axis, turned by an angle towards the last."""
    return (score.cos() * axes[0] + score.sin() * axes[-1])[None]


def _head(score: "Tensor") -> tuple["Tensor", ...]:
    import torch

    axes = _axes(score, 4)
    return _turned(score, axes), axes[:3], torch.tensor([0])


def _center(score: "Tensor") -> tuple["Tensor", ...]:
    import torch

    axes = _axes(score, 3)
    return score * axes[:1], axes.new_zeros(2, 3), torch.tensor([0])


def _triplet(score: "Tensor") -> tuple["Tensor", ...]:
    axes = _axes(score, 2)
    return axes[:1] * 0, axes[:1], score * axes[1:]


def _views(score: "Tensor") -> tuple["Tensor", ...]:
    import torch

    axes = _axes(score, 4)
    return axes[:3], torch.cat([_turned(score, axes), axes[1:3]])


def _apart(score: "Tensor") -> "Tensor":
    import torch

    axes = _axes(score, 2)
    return torch.cat([axes[:1] * 0, score * axes[:1]])
