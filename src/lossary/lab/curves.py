"""A loss and its gradient as curves over the one score that matters to it.

The score is the residual, the signed logit, the true class's logit, an angle or a distance. A *scene* turns it into a
batch in which everything else is fixed. The call form on a loss's card determines which scenes fit it, so a new loss
with an existing call form is drawn without a change here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt
    from torch import Tensor

    from lossary.core.card import Card

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
    label: str = ""  # which of a loss's scenes this is, if it has several


def scenes(card: "Card") -> tuple[Scene, ...]:
    """The scenes that show ``card``'s loss; none if it takes several tensors and no single score describes it."""
    found = _SCENES.get(card.takes[0])
    return found(card) if found else ()


def draw(card: "Card") -> "Chart":
    """Loss and gradient side by side: at the defaults, and at other hyperparameters if the card names some.

    Raises:
        LookupError: The loss is not a function of one score (see :func:`scenes`).
    """
    import altair as alt

    rows = [row for scene in scenes(card) for row in _rows(card, scene)]
    if not rows:
        raise LookupError(f"{card.name} has no curve: it is no function of one score")
    names = list(dict.fromkeys(row["setting"] for row in rows))
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=500) if len(names) > 1 else None
    base = (
        alt.Chart(alt.Data(values=rows), width=300, height=220)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("score:Q", title=scenes(card)[0].axis, scale=alt.Scale(nice=False)),
            color=alt.Color("setting:N", sort=names, legend=legend, scale=alt.Scale(range=list(COLOURS))),
        )
    )
    panels = (base.encode(y=alt.Y(f"{y}:Q", title=y)) for y in ("loss", "gradient"))
    chart = alt.hconcat(*panels, background="white", title=card.name)
    return chart.configure(font="Liberation Sans, Arial, sans-serif").configure_axis(
        gridColor="#eee", titleFontWeight="normal"
    )


def save(card: "Card", path: Path) -> None:
    """Draw into a file; its suffix (.png, .svg, .html) decides the format."""
    # Twice the size in pixels: sharp on today's screens.
    draw(card).save(path, scale_factor=2)


def _rows(card: "Card", scene: Scene) -> Iterator[dict[str, Any]]:
    seen: list[list[tuple[float, float]]] = []
    # Scenes side by side are compared at the defaults; a single one shows what hyperparameters do.
    for variant in ({},) if scene.label else settings(card):
        if len(seen) == len(COLOURS):
            return
        curve = [_at(card, scene, variant, i / (POINTS - 1)) for i in range(POINTS)]
        if curve in seen:  # a hyperparameter that this scene does not show
            continue
        seen.append(curve)
        setting = ", ".join(f"{k}={v}" for k, v in variant.items()) or "defaults"
        setting = f"{scene.label}: {setting}" if scene.label else setting
        for i, (loss, gradient) in enumerate(curve):
            score = (scene.low + (scene.high - scene.low) * i / (POINTS - 1)) * scene.unit
            yield {"score": _short(score), "loss": loss, "gradient": gradient, "setting": setting}


def settings(card: "Card") -> Iterator[dict[str, Any]]:
    """The defaults; then, for each number the lab searches, both ends of its range."""
    from lossary.core.card import Range

    yield {}
    for name, space in card.search.items():
        if isinstance(space, Range):
            yield from ({name: value} for value in (space.low, space.high))


def _at(card: "Card", scene: Scene, variant: Mapping[str, Any], share: float) -> tuple[float, float]:
    """Loss and gradient in the score at ``share`` of the way from ``low`` to ``high``."""
    import torch

    score = torch.tensor(scene.low + (scene.high - scene.low) * share, dtype=torch.float64, requires_grad=True)
    loss = card.fn(*scene.place(score), **variant)
    (gradient,) = torch.autograd.grad(loss.mean(), score)
    return _short(loss.mean().item()), _short(gradient.item())


def _short(value: float) -> float:
    # Six digits, with rounding errors as 0, draw the same line and give the same file on every machine.
    return float(f"{round(value, 9):.6g}") + 0.0


def _on_values(card: "Card") -> tuple[Scene, ...]:
    if card.input == "amounts":
        return (Scene("input, at target 1", 0, 3, lambda s: (s[None], s.detach()[None] * 0 + 1)),)
    return (Scene("input - target, at target 0", -3, 3, lambda s: (s[None], s.detach()[None] * 0)),)


def _on_answers(card: "Card") -> tuple[Scene, ...]:
    if card.input == "probabilities":
        return (Scene("probability, where the target is 1", 0.02, 0.98, lambda s: (s[None], s.new_ones(1))),)
    return (Scene("logit, where the target is 1", -6, 6, lambda s: (s[None], s.new_ones(1))),)


def _on_distance(card: "Card") -> tuple[Scene, ...]:
    return (
        Scene("distance", 0, 2, lambda s: (s[None], s.new_ones(1)), label="similar"),
        Scene("distance", 0, 2, lambda s: (s[None], -s.new_ones(1)), label="dissimilar"),
    )


def _on_regions(card: "Card") -> tuple[Scene, ...]:
    import torch

    target = torch.tensor([1, 0, 0, 1, 0, 1, 1, 0, 0, 1]).view(1, 1, 2, 5)
    sign = 2.0 * target.double() - 1
    return (Scene("logit of the truth at every pixel", -6, 6, lambda s: (s * sign, target)),)


def _on_target(card: "Card") -> tuple[Scene, ...]:
    """An input and a target of its shape."""
    if card.data == "answers" and card.item == "batch":
        return ()  # a score by itself ranks before none
    by_data = {"values": _on_values, "answers": _on_answers, "pairs": _on_distance, "masks": _on_regions}
    return by_data[card.data](card)


def _on_label(card: "Card") -> tuple[Scene, ...]:
    import torch
    from torch.nn.functional import one_hot

    if card.data == "masks":
        target = torch.tensor([0, 1, 2, 0, 1, 2, 2, 0, 0, 1]).view(1, 2, 5)
        true = one_hot(target, 3).movedim(-1, 1).double()
        return (Scene("logit of the true class at every pixel", -6, 6, lambda s: (s * true, target)),)
    return _on_class(card, torch.tensor([0]))


def _on_shares(card: "Card") -> tuple[Scene, ...]:
    import torch

    return _on_class(card, torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))


def _on_class(card: "Card", true: "Tensor") -> tuple[Scene, ...]:
    def place(s: "Tensor") -> tuple["Tensor", ...]:
        import torch

        logits = torch.cat([s[None], s.new_zeros(2)])[None]
        return (logits.log_softmax(1) if card.input == "log-probabilities" else logits), true

    return (Scene("logit of the true class (two others at 0)", -6, 6, place),)


def _on_order(card: "Card") -> tuple[Scene, ...]:
    return (Scene("input1 - input2, where input1 should be larger", -3, 3, _ranked),)


def _on_pair(card: "Card") -> tuple[Scene, ...]:
    import torch

    if "embeddings-labels" in card.takes:
        same, other = torch.tensor([0, 0]), torch.tensor([0, 1])
        return (
            Scene("distance", 0, 2, lambda s: (_apart(s), same), label="same class"),
            Scene("distance", 0, 2, lambda s: (_apart(s), other), label="different classes"),
        )
    turned = lambda s: (_axes(s, 2)[:1], _turned(s, _axes(s, 2)))  # noqa: E731
    axis = "angle between the two, degrees"
    return (
        Scene(axis, 0, pi, lambda s: (*turned(s), s.new_ones(1)), unit=180 / pi, label="similar"),
        Scene(axis, 0, pi, lambda s: (*turned(s), -s.new_ones(1)), unit=180 / pi, label="dissimilar"),
    )


def _on_labelled(card: "Card") -> tuple[Scene, ...]:
    import torch

    if card.kernel == "tuples" and not card.by_order:
        labels = torch.tensor([0, 0, 1])
        axis = "distance of the other class (own class at 1)"
        return (Scene(axis, 0, 3, lambda s: (torch.cat(_triplet(s)), labels)),)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    axis = "angle between two of one class, degrees (others at 90)"
    # The loss changes where the order does, and hardly elsewhere.
    low, high = (pi * 17 / 36, pi * 19 / 36) if card.by_order else (0, pi)
    return (Scene(axis, low, high, lambda s: (torch.cat(_views(s)), labels), unit=180 / pi),)


def _on_directions(card: "Card") -> tuple[Scene, ...]:
    return (Scene("angle to the own class, degrees (others at 90)", 0, pi, _head, unit=180 / pi),)


def _on_centers(card: "Card") -> tuple[Scene, ...]:
    return (Scene("distance to the own center", 0, 3, _center),)


def _on_triplet(card: "Card") -> tuple[Scene, ...]:
    return (Scene("distance to the negative (positive at 1)", 0, 3, _triplet),)


def _on_views(card: "Card") -> tuple[Scene, ...]:
    return (Scene("angle to the other view, degrees (others at 90)", 0, pi, _views, unit=180 / pi),)


def _on_list(card: "Card") -> tuple[Scene, ...]:
    return (Scene("score of the one relevant candidate (two others at 0)", -6, 6, _list),)


def _on_boxes(card: "Card") -> tuple[Scene, ...]:
    def place(s: "Tensor") -> tuple["Tensor", ...]:
        box = s.new_tensor([[0.0, 0.0, 1.0, 1.0]])
        return box + s * s.new_tensor([1.0, 0.0, 1.0, 0.0]), box

    return (Scene("a box beside one like it, in widths to the right", -3, 3, place),)


def _axes(score: "Tensor", count: int) -> "Tensor":
    import torch

    return torch.eye(count, dtype=score.dtype)


def _ranked(score: "Tensor") -> tuple["Tensor", ...]:
    return score[None], score.new_zeros(1), score.new_ones(1)


def _list(score: "Tensor") -> tuple["Tensor", ...]:
    import torch

    return torch.cat([score[None], score.new_zeros(2)])[None], torch.tensor([[1, 0, 0]])


def _on_chosen(card: "Card") -> tuple[Scene, ...]:
    if card.input == "scores":
        return (
            Scene("reward of the better answer less that of the other", -6, 6, lambda s: (s[None], s.new_zeros(1))),
        )
    axis = "average log-probability of the better answer, where the other's is -1"
    return (Scene(axis, -4, -0.02, lambda s: (s[None], -s.new_ones(1))),)


def _on_gain(card: "Card") -> tuple[Scene, ...]:
    """Log-probabilities of whole answers; the reference has -50 for all."""
    return (Scene("gain of the better answer on the other", -40, 40, lambda s: (s[None] - 50, *_fixed(s, -50, 3))),)


def _on_liked(card: "Card") -> tuple[Scene, ...]:
    axis = "gain on the reference model"
    return tuple(
        Scene(axis, -40, 40, lambda s, y=y: (s[None] - 50, *_fixed(s, -50, 1), s.new_full((1,), y)), label=label)
        for label, y in (("liked", 1), ("not liked", 0))
    )


def _on_ratio(card: "Card") -> tuple[Scene, ...]:
    def place(ratio: "Tensor", advantage: float) -> tuple["Tensor", ...]:
        new, (old, gain) = ratio.log()[None], (*_fixed(ratio, 0, 1), ratio.new_full((1,), advantage))
        return (new, old, gain) if card.takes[0] == "tokens-advantages" else (new[None], old[None], gain)

    return tuple(
        Scene("probability now over that when drawn", 0.4, 1.6, lambda s, a=a: place(s, a), label=f"advantage {a}")
        for a in (1, -1)
    )


def _fixed(score: "Tensor", value: float, count: int) -> tuple["Tensor", ...]:
    return tuple(score.new_full((1,), value) for _ in range(count))


def _turned(score: "Tensor", axes: "Tensor") -> "Tensor":
    """The first axis, rotated by an angle toward the last."""
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
    return torch.cat([_turned(score, axes), axes[1:3]]), axes[:3]  # some losses learn only through the first view


def _apart(score: "Tensor") -> "Tensor":
    import torch

    axes = _axes(score, 2)
    return torch.cat([axes[:1] * 0, score * axes[:1]])


#: By the first call form. A list of labels, or a variance for each number, is not a scene of one score.
_SCENES: Mapping[str, Callable[["Card"], tuple[Scene, ...]]] = {
    "input-target": _on_target,
    "input-label": _on_label,
    "input-shares": _on_shares,
    "first-second-target": _on_order,
    "pair-target": _on_pair,
    "embeddings-labels": _on_labelled,
    "embeddings-weight-labels": _on_directions,
    "embeddings-centers-labels": _on_centers,
    "anchor-positive": _on_views,
    "anchor-positive-negative": _on_triplet,
    "list": _on_list,
    "chosen-rejected": _on_chosen,
    "chosen-rejected-references": _on_gain,
    "answer-reference-target": _on_liked,
    "tokens-advantages": _on_ratio,
    "answers-advantages": _on_ratio,
    "boxes": _on_boxes,
}
