"""Call other libraries' losses beside ours on drawn inputs and print how far they are apart: ``make peers``.

Every preset with every argument of its grid, and the functions that peers have under another name, on inputs drawn from
a seed; values and gradients in float64. ``ARGS="--seed 7"`` draws others, ``--only kornia`` takes what contains this.
It ends with an error where a difference has no reason below, or where one that has a reason is none any more.
"""

import argparse
import dataclasses
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Column, Table
from torch import Generator, Tensor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]

from benchmarks.peers import peers as installed  # noqa: E402

import lossary.functional as L  # noqa: E402
from lossary import Lp  # noqa: E402
from presets import peers  # noqa: E402
from presets.grid import Call, calls, options  # noqa: E402
from presets.stored import Answer  # noqa: E402

#: What differs by design or by a peer's mistake, by the row's name.
REASONS = {
    "kornia: focal_loss": "the mean there divides by the number of classes too",
    "auraloss: MultiResolutionSTFTLoss of 2": "its spectral convergence is one fraction of the batch, here one a wave",
    "pytorch-toolbelt: BiTemperedLogisticLoss": "it stops after five steps towards the normaliser",
}
#: Installed for other purposes: nothing of these runs here.
NOT_COMPARED = {
    "cut-cross-entropy": "its kernels want a GPU",
    "liger-kernel": "its kernels want a GPU",
}


@dataclass(frozen=True)
class Pair:
    """A peer's function and ours on drawn inputs."""

    name: str  # "peer: function"
    theirs: Callable[..., Any]  # the function, from the arguments
    ours: Callable[..., Tensor]  # likewise
    draw: Callable[[Generator], tuple[Tensor, ...]]
    arguments: tuple[dict[str, Any], ...] = ({},)
    tolerance: float = 1e-9


@dataclass
class Row:
    """What a comparison found."""

    calls: int = 0
    value: float = 0.0
    gradient: float = 0.0
    apart: list[str] = field(default_factory=list)

    def add(self, ours: Answer, theirs: Answer, tolerance: float, what: str) -> None:
        (value, gradient), (expected, wanted) = ours, theirs
        size = max(*map(abs, wanted), 1e-12)
        found = (
            abs(value - expected) / max(abs(expected), 1.0),
            max(abs(g - w) / size for g, w in zip(gradient, wanted, strict=True)),
        )
        self.calls += 1
        self.value, self.gradient = (
            worse(old, new) for old, new in zip((self.value, self.gradient), found, strict=True)
        )
        if not max(worse(0.0, d) for d in found) <= tolerance:
            self.apart.append(f"{what}: value {found[0]:.0e}, gradient {found[1]:.0e}")


def worse(one: float, other: float) -> float:
    """The larger one; NaN is the largest."""
    return math.inf if math.isnan(other) else max(one, other)


# ---------------------------------------------------------------- functions that are no presets


def normal(*shape: int) -> Callable[[Generator], Tensor]:
    return lambda g: 3 * torch.randn(shape, generator=g, dtype=torch.float64)


def classes(count: int, *shape: int) -> Callable[[Generator], Tensor]:
    return lambda g: torch.randint(count, shape, generator=g)


def both(first: Callable[[Generator], Tensor], second: Callable[[Generator], Tensor]) -> Any:
    return lambda g: (first(g), second(g))


def soft(*shape: int) -> Callable[[Generator], Tensor]:
    return lambda g: torch.randn(shape, generator=g, dtype=torch.float64).softmax(-1)


def binary(*shape: int) -> Callable[[Generator], Tensor]:
    return lambda g: torch.randint(2, shape, generator=g).double()


def pairs() -> Iterator[Pair]:
    import kornia.losses
    import lightly.loss
    import segmentation_models_pytorch.losses
    import timm.loss
    import torchvision.ops

    k, smp, t = kornia.losses, segmentation_models_pytorch.losses, timm.loss
    image, mask = normal(2, 3, 4, 5), classes(3, 2, 4, 5)
    gammas = tuple(options(gamma=(2.0, 0.5, 0.0), reduction=("mean", "sum", "none")))
    whole = tuple({"alpha": 0.25, "gamma": 2.0, "reduction": "mean", **o} for o in gammas)
    focal = tuple({n: v for n, v in o.items() if n != "alpha"} for o in whole)
    yield Pair(
        "kornia: focal_loss",
        lambda **o: lambda x, y: k.focal_loss(x, y, alpha=None, **o),
        lambda **o: lambda x, y: L.focal_loss(x, y, **o),
        both(image, mask),
        focal,
    )
    for name, function in (
        ("kornia: binary_focal_loss_with_logits", k.binary_focal_loss_with_logits),
        ("torchvision: sigmoid_focal_loss", torchvision.ops.sigmoid_focal_loss),
    ):
        yield Pair(
            name,
            lambda f=function, **o: lambda x, y: f(x, y, **o),
            lambda **o: lambda x, y: L.sigmoid_focal_loss(x, y, **o),
            both(normal(4, 6), binary(4, 6)),
            whole,
        )
    yield Pair(
        "kornia: lovasz_softmax_loss",
        lambda: k.lovasz_softmax_loss,
        lambda: lambda x, y: L.lovasz_softmax_loss(x, y, classes="all", per_image=True),
        both(image, mask),
    )
    yield Pair(
        "kornia: lovasz_hinge_loss",
        lambda: k.lovasz_hinge_loss,
        lambda: lambda x, y: L.lovasz_hinge_loss(x, y[:, None]),
        both(normal(3, 1, 4, 5), classes(2, 3, 4, 5)),
    )
    for name, made in (
        ("timm: LabelSmoothingCrossEntropy", t.LabelSmoothingCrossEntropy),
        ("segmentation-models-pytorch: SoftCrossEntropyLoss", smp.SoftCrossEntropyLoss),
    ):
        yield Pair(
            name,
            made,
            lambda **o: lambda x, y: L.cross_entropy(x, y, label_smoothing=next(iter(o.values()))),
            both(normal(6, 5), classes(5, 6)),
            tuple({("smoothing" if name.startswith("timm") else "smooth_factor"): s} for s in (0.1, 0.4)),
        )
    yield Pair(
        "timm: SoftTargetCrossEntropy",
        t.SoftTargetCrossEntropy,
        lambda: L.cross_entropy,
        both(normal(6, 5), soft(6, 5)),
    )
    yield Pair(
        "timm: BinaryCrossEntropy",
        lambda: t.BinaryCrossEntropy(smoothing=0.0),
        lambda: L.binary_cross_entropy_with_logits,
        both(normal(4, 6), binary(4, 6)),
    )
    yield Pair(
        "segmentation-models-pytorch: SoftBCEWithLogitsLoss",
        lambda: smp.SoftBCEWithLogitsLoss(ignore_index=None),
        lambda: L.binary_cross_entropy_with_logits,
        both(normal(4, 6), binary(4, 6)),
    )
    yield Pair(
        "lightly: NTXentLoss",
        lightly.loss.NTXentLoss,
        lambda **o: lambda x, y: L.nt_xent_loss(x, y, **o),
        both(normal(5, 4), normal(5, 4)),
        tuple({"temperature": s} for s in (0.1, 0.5, 2.0)),
    )


def unit_range(*shape: int) -> Callable[[Generator], Tensor]:
    return lambda g: torch.rand(shape, generator=g, dtype=torch.float64)


def images_and_waves() -> Iterator[Pair]:
    import auraloss.time
    import kornia.losses
    import monai.losses
    import piqa

    small, large = both(*2 * [unit_range(2, 3, 16, 20)]), both(*2 * [unit_range(1, 3, 176, 180)])
    in_float32 = 1e-5  # their windows are made so
    for name, made, ours, draw in (
        ("piqa: SSIM", piqa.SSIM, L.ssim_loss, small),
        ("piqa: MS_SSIM", piqa.MS_SSIM, L.ms_ssim_loss, large),
    ):
        yield Pair(name, lambda m=made: lambda x, y: 1 - m().double()(x, y), lambda f=ours: f, draw, ({},), in_float32)
    yield Pair("monai: SSIMLoss", lambda: monai.losses.SSIMLoss(2), lambda: L.ssim_loss, small, ({},), in_float32)
    yield Pair(
        "kornia: total_variation",
        lambda: lambda x: kornia.losses.total_variation(x).sum() / x.numel(),
        lambda: L.total_variation,
        lambda g: (unit_range(2, 3, 7, 5)(g),),
    )
    yield Pair(
        "kornia: charbonnier_loss",
        lambda: lambda x, y: kornia.losses.charbonnier_loss(x, y, reduction="mean"),
        lambda: lambda x, y: L.charbonnier_loss(x, y, eps=1.0) - 1,
        both(normal(4, 6), normal(4, 6)),
    )
    yield Pair(
        "auraloss: SISDRLoss",
        auraloss.time.SISDRLoss,
        lambda **o: lambda x, y: L.si_sdr_loss(x, y, **o),
        both(normal(3, 50), normal(3, 50)),
        tuple(options(zero_mean=(True, False))),
    )
    for count in (1, 2):
        yield Pair(
            f"auraloss: MultiResolutionSTFTLoss of {count}",
            lambda: auraloss_stft,
            lambda: L.multi_resolution_stft_loss,
            both(normal(count, 3000), normal(count, 3000)),
        )


def orders_and_lifetimes() -> Iterator[Pair]:
    import coral_pytorch.losses
    import pytorch_toolbelt.losses
    from torchsurv.loss.cox import neg_partial_log_likelihood

    thresholds = torch.arange(4)
    yield Pair(
        "coral-pytorch: coral_loss",
        lambda: lambda z, y: coral_pytorch.losses.coral_loss(z, (y[:, None] > thresholds).double()),
        lambda: L.coral_loss,
        both(normal(7, 4), classes(5, 7)),
    )
    yield Pair(
        "coral-pytorch: corn_loss",
        lambda: lambda z, y: coral_pytorch.losses.corn_loss(z, y, 5),
        lambda: L.corn_loss,
        both(normal(7, 4), classes(5, 7)),
    )
    yield Pair(
        "torchsurv: neg_partial_log_likelihood",
        lambda ties="efron": (
            lambda h, t, e: (
                neg_partial_log_likelihood(h, e.bool(), t.double(), ties_method=ties, reduction="sum") / e.sum()
            )
        ),
        lambda **o: lambda h, t, e: L.cox_ph_loss(h, t.double(), e, **o),
        lambda g: (normal(9)(g), classes(5, 9)(g), torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 1])),
        tuple(options(ties=("efron", "breslow"))),
        1e-6,  # counted in float32 there
    )
    yield Pair(
        "pytorch-toolbelt: BiTemperedLogisticLoss",
        pytorch_toolbelt.losses.BiTemperedLogisticLoss,
        lambda **o: lambda x, y: L.bi_tempered_logistic_loss(x, y, **o),
        both(normal(6, 5), classes(5, 6)),
        ({"t1": 0.8, "t2": 1.2}, {"t1": 0.5, "t2": 2.0}),
    )


def distances() -> Iterator[Pair]:
    """pytorch-metric-learning's distances, in the losses that take one here."""
    from pytorch_metric_learning import distances as d
    from pytorch_metric_learning import losses as p

    from lossary.presets import pytorch_metric_learning as preset

    norms = [(Lp(p, power), partial(d.LpDistance, p=p, power=power)) for p in (1, 2, 3, 4.5) for power in (1, 2, 1.5)]
    named = [
        ("cosine", lambda normalize_embeddings: d.CosineSimilarity()),
        ("dot", d.DotProductSimilarity),
        ("snr", d.SNRDistance),
    ]
    labelled = both(normal(12, 6), classes(3, 12))
    grid = tuple(options(margin=(0.05, 0.5, 2.0), normalize=(True, False)))
    margins = tuple(options(pos_margin=(0.1, 0.7), neg_margin=(0.9, 0.3), normalize=(True, False)))
    for ours, theirs in (*norms, *named):

        def triplets(margin: float = 0.05, normalize: bool = True, of: Any = theirs) -> Any:
            return p.TripletMarginLoss(margin, distance=of(normalize_embeddings=normalize))

        def pairs(pos_margin: float = 0.1, neg_margin: float = 0.9, normalize: bool = True, of: Any = theirs) -> Any:
            return p.ContrastiveLoss(pos_margin, neg_margin, distance=of(normalize_embeddings=normalize))

        def our_triplets(margin: float = 0.05, normalize: bool = True, of: Any = ours) -> Any:
            return preset.triplet_margin(margin, of, normalize)

        def our_pairs(pos_margin: float = 0.1, neg_margin: float = 0.9, normalize: bool = True, of: Any = ours) -> Any:
            return preset.contrastive(pos_margin, neg_margin, of, normalize)

        yield Pair(f"pytorch-metric-learning: triplets by {ours}", triplets, our_triplets, labelled, grid)
        yield Pair(f"pytorch-metric-learning: pairs by {ours}", pairs, our_pairs, labelled, margins)


def preferences_and_policies() -> Iterator[Pair]:
    """All of TRL, of which :mod:`peers_of_trl` calls the trainers' own methods."""
    import peers_of_trl as trl

    smoothed = tuple({"beta": b, "label_smoothing": e} for b in (0.1, 0.5) for e in (0.1, 0.3))
    for theirs, ours, arguments in (
        ("sigmoid", "sigmoid", ({"beta": 0.1}, {"beta": 2.0})),
        ("robust", "robust", ({"beta": 0.1}, *smoothed)),
        ("exo_pair", "exo", smoothed),
        *((t, o, ({"beta": 0.1}, {"beta": 2.0})) for t, o in OF_PAIRS),
    ):
        made = partial(trl.dpo, theirs), partial(dpo, ours)
        # Its smoothing of exo is a number in float32.
        yield Pair(f"trl: DPOTrainer {theirs}", *made, token_pairs, arguments, 1e-6 if ours == "exo" else 1e-9)
    betas = tuple(options(beta=(0.1, 0.3, 2.0)))
    yield Pair("trl: DPOTrainer ipo", partial(trl.dpo, "ipo"), partial(dpo, "ipo"), token_pairs, betas)
    yield Pair(
        "trl: KTOTrainer",
        trl.kto,
        lambda **o: lambda x, ref, liked: L.kto_loss(x, ref, liked, **o),
        lambda g: (normal(6)(g), normal(6)(g), torch.tensor([1, 0, 1, 1, 0, 1])),
        tuple(options(beta=(0.1, 1.0), desirable_weight=(1.0, 1.5), undesirable_weight=(1.0, 0.5), kl=(0.0, 0.7))),
    )
    for name, ours in (
        ("sigmoid", lambda a, b: L.cpo_loss(a, b, beta=0.3, label_smoothing=0.2, nll_weight=0.0)),
        ("simpo", lambda a, b: L.simpo_loss(a, b, beta=0.3, gamma=0.5, label_smoothing=0.2)),
    ):
        yield Pair(f"trl: CPOTrainer {name}", partial(trl.cpo, name), lambda f=ours: f, both(normal(6), normal(6)))
    yield Pair(
        "trl: ORPOTrainer",
        trl.orpo,
        lambda **o: lambda a, b: L.orpo_loss(a, b, **o),
        both(*2 * [lambda g: -unit_range(6)(g) - 0.05]),
        betas,
        1e-5,  # in float32 there
    )
    yield Pair(
        "trl: RewardTrainer",
        trl.reward,
        lambda center=None: lambda a, b: L.bradley_terry_loss(a, b, center=center or 0.0),
        both(normal(6), normal(6)),
        tuple(options(center=(None, 0.01, 0.5))),
    )
    grid = tuple(options(beta=(0.04, 0.0), epsilon_high=(0.2, 0.28), delta=(None, 2.0), level=("token", "sequence")))
    for kind, average in (("grpo", "sequence"), ("bnpo", "token"), ("dapo", "token"), ("dr_grpo", "constant")):
        yield Pair(f"trl: GRPOTrainer {kind}", partial(trl.grpo, kind), partial(grpo, average), answers, grid)


#: TRL's kinds of DPO that take no smoothing, and their names here.
OF_PAIRS = (
    ("hinge", "hinge"),
    ("nca_pair", "nca"),
    ("bco_pair", "bco"),
    ("sppo_hard", "sppo"),
    ("apo_zero", "apo_zero"),
    ("apo_down", "apo_down"),
)


def lengths(count: int, most: int) -> Callable[[Generator], Tensor]:
    """(count, most) masks of answers, each of one token or more."""
    return lambda g: (torch.arange(most) < torch.randint(1, most + 1, (count, 1), generator=g)).long()


def token_pairs(g: Generator) -> tuple[Tensor, ...]:
    return normal(8, 5)(g), normal(8, 5)(g), lengths(8, 5)(g)


def dpo(kind: str, **options: Any) -> Callable[..., Tensor]:
    def loss(logps: Tensor, ref: Tensor, mask: Tensor) -> Tensor:
        divisor = mask.sum(1) if kind == "ipo" else 1
        answers = [half for t in (logps, ref) for half in ((t * mask).sum(1) / divisor).chunk(2)]
        return L.ipo_loss(*answers, **options) if kind == "ipo" else L.dpo_loss(*answers, kind=kind, **options)

    return loss


def answers(g: Generator) -> tuple[Tensor, ...]:
    near = normal(5, 7)(g)
    old, ref = (near + 0.1 * normal(5, 7)(g) for _ in range(2))
    return near, old, ref, normal(5)(g), lengths(5, 7)(g)


def grpo(average: Any, delta: float | None = None, level: Any = "token", **options: Any) -> Callable[..., Tensor]:
    rest = {"average": average, "max_length": 7, "ratio": level, "largest_ratio": delta, **options}
    return lambda x, old, ref, advantages, mask: L.grpo_loss(x, old, advantages, ref_logps=ref, mask=mask > 0, **rest)


def auraloss_stft(x: Tensor, y: Tensor) -> Tensor:
    import auraloss.freq

    loss: Any = auraloss.freq.MultiResolutionSTFTLoss(eps=1e-8)
    for one in loss.stft_losses:
        one.window = torch.hann_window(one.win_length, dtype=x.dtype)
    return loss(x[:, None], y[:, None])


def of_pairs(only: str, seeds: range) -> Iterator[tuple[str, Row]]:
    for pair in (*pairs(), *images_and_waves(), *orders_and_lifetimes(), *distances(), *preferences_and_policies()):
        if only not in pair.name:
            continue
        row = Row()
        for seed in seeds:
            for arguments in pair.arguments:
                inputs = pair.draw(Generator().manual_seed(seed))
                ours, theirs = (answer(made(**arguments), inputs) for made in (pair.ours, pair.theirs))
                row.add(ours, theirs, pair.tolerance, f"{arguments}, seed {seed}")
        yield pair.name, row


def answer(loss: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Answer:
    """The sum of the values, and the gradient by the first of the inputs."""
    x = inputs[0].clone().requires_grad_()
    value = loss(x, *inputs[1:]).sum()
    return value.item(), torch.autograd.grad(value, x)[0].flatten().tolist()


# ---------------------------------------------------------------- presets


def drawn(call: Call, seed: int) -> Call:
    """The call with its floating inputs drawn anew; labels and masks stay, which say what the batch is about."""
    g = Generator().manual_seed(seed)
    inputs = tuple(
        2 * torch.randn(t.shape, generator=g, dtype=t.dtype)
        if t.dtype.is_floating_point and not peers.is_target(call, t, call.inputs)
        else t
        for t in call.inputs
    )
    if call.preset.endswith("box_iou"):  # boxes have their corners in order
        inputs = tuple(torch.cat([b.view(-1, 2, 2).amin(1), b.view(-1, 2, 2).amax(1)], 1) for b in inputs)
    return dataclasses.replace(call, inputs=inputs)


def of_presets(only: str, seeds: range) -> Iterator[tuple[str, Row]]:
    rows: dict[str, Row] = {}
    for call in calls():
        name = f"{call.peer.replace('_', '-')}: presets.{call.preset}"
        if only not in name or peers.find(call.peer) is None:
            continue
        row = rows.setdefault(name, Row())
        for seed in seeds:
            new = drawn(call, seed)
            ours, theirs = (peers.answer(made(new), new) for made in (peers.ours, peers.original))
            row.add(ours, theirs, call.tolerance, f"{call.key}, seed {seed}")
    yield from rows.items()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make peers", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1, help="so many seeds from it on")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    console = Console(width=110)
    for name, state in installed().items():
        console.print(f"{name} {state}{'; not compared: ' + NOT_COMPARED[name] if name in NOT_COMPARED else ''}")
    for peer in peers.FILES:
        console.print(f"{peer} {peers.version(peer) if peers.find(peer) else 'not given: ' + peers.FILES[peer]}")
    seeds = range(given.seed, given.seed + given.draws)
    rows = [*of_pairs(given.only, seeds), *of_presets(given.only, seeds)]
    table = Table(
        Column("loss", no_wrap=True),
        "calls",
        "value",
        "gradient",
        "apart",
        title=f"torch {metadata.version('torch')}, float64",
    )
    for name, row in rows:
        table.add_row(name, str(row.calls), f"{row.value:.0e}", f"{row.gradient:.0e}", f"{len(row.apart) or ''}")
    console.print(table)
    console.print(f"{sum(row.calls for _, row in rows)} calls of {len(rows)} losses")
    wrong = 0
    for name, row in rows:
        if name in REASONS:
            console.print(f"{name}: {REASONS[name]}: {len(row.apart)} of {row.calls} calls")
        if bool(row.apart) != (name in REASONS):
            wrong += 1
            console.print(*(row.apart[:5] or [f"{name}: no difference any more"]), sep="\n  ")
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
