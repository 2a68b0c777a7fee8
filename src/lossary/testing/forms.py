"""How a stranger's loss is called: found from its argument names and by trying, and reported.

A loss without a description gets a card with only what the laws need: the form of call, what the first tensor holds,
and what follows from these.
"""

import copy
import inspect
import math
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from lossary.core.card import Card, Data, Input, Item, Takes
from lossary.core.loss import Loss
from lossary.testing.draws import Call, draw

LABELS = ("integers", "numbers")


class Form(NamedTuple):
    """A way of calling a loss: what its tensors are, and which words identify losses called this way."""

    takes: Takes
    data: Data
    input: Input
    learning: tuple[int, ...]  # which arguments come from a network
    names: tuple[str, ...]  # of the arguments, as patterns
    words: str  # in the name of the loss or its first line
    item: Item = "element"
    separable: bool = True

    def __str__(self) -> str:
        return f"{self.takes} of {self.input}"


_PREDICTED = r"^(z|x|inputs?|(y_)?preds?|y_?hat|predict.*|outputs?|y_pred|scores?|a)$"
_LOGITS = r"logit|^(z|x|inputs?|(y_)?preds?|y_pred|predict.*|outputs?|scores?)$"
_TRUE = r"^(y|t|targets?|labels?|true|truth|y_true|gt|ground.*|b|classes|y_)$"
_LABELS = r"^(y|labels?|targets?|classes|y_true|gt|t)$"
_VECTORS = r"embed|feat|^(x|z|h|e|inputs?|vectors?|q)\d?$"
_MASKS = r"mask|" + _TRUE
_TWO = r"^(x1|x_1|input1|a|anchor|e1|z1|z_i|u|first|o1|output1|emb.*1|.*_?a|feat.*1|left|h1|q|query|queries|image.*)$"
_OTHER = r"^(x2|x_2|input2|b|positive|e2|z2|z_j|v|second|o2|output2|emb.*2|.*_?b|feat.*2|right|h2|k|keys?|text.*|p)$"

#: Functions called in the code of losses for such data.
_CODE: dict[str, str] = {
    "answers": r"binary_cross_entropy|sigmoid|softplus",
    "classes": r"(?<!binary_)cross_entropy\(|softmax|one_hot|nll_loss|logsumexp",
    "masks": r"flatten\((start_dim=)?[12]|one_hot\(.*(permute|movedim)",
    "pairs": r"cdist|matmul|normalize|@",
    "views": r"normalize|@",
}
#: In the order in which they are tried if the words decide nothing.
FORMS: tuple[Form, ...] = (
    Form(
        "input-label",
        "classes",
        "logits",
        (0,),
        (_LOGITS, _LABELS),
        r"cross.?entropy|softmax|class|focal|poly|ce\b|nll|margin",
        "row",
    ),
    Form("input-label", "classes", "log-probabilities", (0,), (r"log_?p", _LABELS), r"nll", "row"),
    Form(
        "input-target",
        "values",
        "values",
        (0,),
        (_PREDICTED, _TRUE),
        r"mse|mae|l1|l2|huber|regress|squared|absolute|cosh|quantile|pinball|charb|wing|error",
    ),
    Form(
        "input-target",
        "answers",
        "logits",
        (0,),
        (_LOGITS, _TRUE),
        r"bce|binary|sigmoid|asl|asymmetric|multi.?label|focal",
    ),
    Form(
        "input-target", "answers", "probabilities", (0,), (r"prob|^p$|^p_|sigmoid", _TRUE), r"prob|bce|binary|log.?loss"
    ),
    Form(
        "input-target",
        "answers",
        "scores",
        (0,),
        (r"score|margin|" + _PREDICTED, r"sign|" + _TRUE),
        r"hinge|soft.?margin|svm",
    ),
    Form(
        "input-target",
        "masks",
        "logits",
        (0,),
        (_LOGITS, _MASKS),
        r"dice|jaccard|iou|tversky|lov|mask|segment",
        "image",
        False,
    ),
    Form(
        "input-target",
        "masks",
        "probabilities",
        (0,),
        (r"prob|^p$", _MASKS),
        r"dice|jaccard|iou|tversky|mask|segment",
        "image",
        False,
    ),
    Form(
        "input-label",
        "masks",
        "logits",
        (0,),
        (_LOGITS, _MASKS),
        r"dice|jaccard|iou|tversky|lov|mask|segment",
        "image",
        False,
    ),
    Form(
        "embeddings-labels",
        "pairs",
        "embeddings",
        (0,),
        (_VECTORS, _LABELS),
        r"contrast|supcon|triplet|cent|n.?pair|prox|ge2e|circle|multi.?sim|lifted|metric|embedding|hard",
        "anchor",
        False,
    ),
    Form(
        "anchor-positive",
        "views",
        "embeddings",
        (0, 1),
        (_TWO, _OTHER),
        r"info.?nce|nt.?xent|simclr|clip|siglip|barlow|vicreg|byol|contrast",
        "anchor",
        False,
    ),
    Form("input-shares", "classes", "logits", (0,), (_LOGITS, r"soft|share|prob|" + _TRUE), r"soft|smooth|mix", "row"),
    Form("input-shares", "classes", "log-probabilities", (0,), (r"log_?p|input", r"prob|target"), r"kl|diverg"),
    Form("input-teacher", "classes", "logits", (0,), (r"stud", r"teach"), r"distil|kd\b", "row"),
    Form("boxes", "boxes", "boxes", (0,), (r"box", r"box|" + _TRUE), r"iou|box", "row"),
    Form("input-target", "pairs", "distances", (0,), (r"dist", _TRUE), r"hinge.?embed"),
    Form("input-target", "values", "log-rates", (0,), (r"log|" + _PREDICTED, _TRUE), r"poisson|count"),
    Form("input-target", "values", "amounts", (0,), (_PREDICTED, _TRUE), r"gamma|log.?err|msle|mape"),
    Form("list", "lists", "scores", (0,), (r"score", r"relev|grade|" + _TRUE), r"rank|list|ndcg", "row"),
    Form("chosen-rejected", "tokens", "scores", (0, 1), (r"chos|win|pos", r"rej|los|neg"), r"reward|rank|bradley|bpr"),
    Form(
        "image-target",
        "images",
        "images",
        (0,),
        (_PREDICTED + r"|im", _TRUE + r"|im"),
        r"ssim|gradient|percep",
        "image",
    ),
    Form("pair-target", "pairs", "embeddings", (0, 1), (_TWO, _OTHER, _TRUE), r"contrast|siam|pair", "pair"),
    Form("first-second-target", "lists", "scores", (0, 1), (_TWO, _OTHER, _TRUE), r"rank"),
    Form("first-second-target", "pairs", "embeddings", (0, 1), (_TWO, _OTHER, _TRUE), r"cos", "pair"),
    Form("anchor-positive-negative", "triplets", "embeddings", (0, 1, 2), (r"^a", r"^p", r"^n"), r"triplet", "triplet"),
    Form(
        "embeddings-weight-labels",
        "identities",
        "embeddings",
        (0, 1),
        (_VECTORS, r"w|kernel|prox|cent", _LABELS),
        r"face|cos|arc|margin|prox|head",
        "row",
    ),
    Form(
        "input-target-variance",
        "values",
        "values",
        (0, 2),
        (_PREDICTED + r"|mean|mu", _TRUE, r"var|sigma"),
        r"gauss|nll",
    ),
    Form(
        "chosen-rejected-references",
        "tokens",
        "log-probabilities",
        (0, 1),
        (r"chos|win", r"rej|los", r"ref", r"ref"),
        r"dpo|ipo|prefer",
        "row",
    ),
    Form("embeddings", "views", "embeddings", (0,), (_VECTORS,), r"koleo|uniform|embed|ge2e|spread", "batch", False),
    Form("image", "images", "images", (0,), (r"im|^x$",), r"total|tv", "image"),
    Form("wave-target", "waves", "waves", (0,), (_PREDICTED, _TRUE), r"snr|stft|wav|spectr", "row"),
)


@dataclass(frozen=True)
class Stranger:
    """A loss with the form of call found for it."""

    name: str
    run: Callable[..., Any]
    form: Form
    tensors: tuple[str, ...]  # names of the form's tensors
    labels: Literal["integers", "numbers"]
    offers: frozenset[str]  # which of reduction, sample_weight, mask, ignore_index the call may have
    module: nn.Module | None = None
    copies: bool = False  # whether it gets copies of its inputs, because it writes into them
    anew: bool = False  # whether each call starts afresh, because it remembers its calls
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _twins: dict[Any, nn.Module] = field(default_factory=dict[Any, nn.Module])

    @property
    def __name__(self) -> str:
        return self.name

    @property
    def __signature__(self) -> inspect.Signature:
        tensors = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in self.tensors]
        options = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in sorted(self.offers)]
        return inspect.Signature([*tensors, *options])

    def __call__(self, *args: Tensor, **options: Any) -> Tensor:
        """Call the loss with its arguments in order, and labels in the type it wants."""
        learning = iter(args)
        places = range(len(self.tensors))
        tensors = [next(learning) if i in self.form.learning else self._target(options, i, args[0]) for i in places]
        if self.copies:
            tensors = [t * 1 if t.requires_grad else t.clone() for t in tensors]
        chosen = {n: v for n, v in options.items() if v is not None}
        if "reduction" in self.offers:
            chosen.setdefault("reduction", "mean")
        if self.anew:
            _seed()
        value = self.runner(args[0].dtype, chosen)(*tensors, **self.given, **chosen)
        if not isinstance(value, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # a stranger's
            raise NoTensor(f"the loss is {value!r:.40}, not a tensor: it has no backward()")
        return value

    def _target(self, options: dict[str, Any], place: int, like: Tensor) -> Tensor:
        return self.as_wanted(options.pop(self.tensors[place]).clone(), like)

    def as_wanted(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Labels as floating-point numbers, if it wants them so."""
        return tensor.to(like.dtype) if self.labels == "numbers" or tensor.is_floating_point() else tensor

    def runner(self, dtype: torch.dtype, chosen: dict[str, Any]) -> Callable[..., Tensor]:
        """The loss itself; for a Module, a copy in the dtype of the inputs, with the reduction as its attribute."""
        if self.module is None:
            return self.run
        by_attribute = "reduction" in self.offers and not _in_forward(self.module)
        reduction = chosen.pop("reduction") if by_attribute else None
        if self.anew or (dtype, reduction) not in self._twins:
            twin = copy.deepcopy(self.module).to(dtype)
            if reduction:
                twin.reduction = reduction
            self._twins[dtype, reduction] = twin
        return self._twins[dtype, reduction]

    def copying(self) -> "Stranger":
        """The same loss, given copies of its inputs."""
        return replace(self, copies=True)

    def forgetful(self) -> "Stranger":
        """The same loss, starting afresh at each call."""
        return replace(self, anew=True)

    @property
    def card(self) -> Card:
        form = self.form
        plain = "reduction" in self.offers
        return Card(
            fn=self,
            module=Loss,
            formula="",
            symbols={},
            data=form.data,
            takes=(form.takes,),
            input=form.input,
            kernel="none",
            item=form.item,
            paper="",
            defaults="",
            separable=form.separable,
            mean_is_plain=plain and form.data != "masks",
        )

    def draw(self, g: Generator, dtype: torch.dtype) -> Call:
        """A batch: what comes from a network by position, the rest by name."""
        whole = draw(self.card, g, dtype)
        learning = tuple(whole.args[i] for i in self.form.learning)
        rest = {
            n: t for i, (n, t) in enumerate(zip(self.tensors, whole.args, strict=False)) if i not in self.form.learning
        }
        return Call(learning, {**rest, **whole.kwargs})

    def in_order(self, call: Call) -> tuple[Tensor, ...]:
        """The tensors of a batch in the order of the loss's arguments."""
        learning = iter(call.args)
        places = enumerate(self.tensors)
        return tuple(next(learning) if i in self.form.learning else call.kwargs[name] for i, name in places)

    def described(self) -> str:
        """How it is called, in words."""
        call = self.draw(Generator().manual_seed(0), torch.float32)
        shown: list[str] = []
        for name, tensor in zip(self.tensors, self.in_order(call), strict=True):
            kind = "" if tensor.is_floating_point() or self.labels == "numbers" else " integers"
            shown.append(f"{name} {tuple(tensor.shape)}{kind}")
        return f"{self.form}: {', '.join(shown)}"


def _seed() -> None:
    """Make every source of random numbers start the same."""
    torch.manual_seed(0)
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def _in_forward(module: nn.Module) -> bool:
    return "reduction" in inspect.signature(module.forward).parameters


# ---------------------------------------------------------------- finding the form


class NotALoss(ValueError):
    """No form of call was found in which it returns a loss."""


class NoTensor(TypeError):
    """For such a batch it returns a Python number, or several things."""


def recognised(
    loss: Callable[..., Any],
    *,
    takes: str | None = None,
    input: str | None = None,
    data: str | None = None,
    given: Mapping[str, Any] = {},
) -> list[Stranger]:
    """The loss in each form of call in which it runs, the likeliest by names and words first.

    Raises:
        NotALoss: It runs in none of them, or not in the one asked for.
    """
    module = loss if isinstance(loss, nn.Module) else None
    signature = inspect.signature(module.forward if module else loss)
    asked = {"takes": takes, "input": input, "data": data}
    forms = [f for f in FORMS if all(value in (None, getattr(f, name)) for name, value in asked.items())]
    if not forms:
        known = sorted({f"{f} for {f.data}" for f in FORMS})
        wanted = " of ".join(value for value in asked.values() if value)
        raise NotALoss(f"nothing is known of {wanted}; known are {', '.join(known)}")
    described = (vars(type(loss)).get("__doc__") if module else inspect.getdoc(loss)) or ""
    text = f"{getattr(loss, '__name__', type(loss).__name__)} {described[:300]}"
    code = _code(module.forward if module else loss)
    said: list[str] = []
    found: list[tuple[float, Stranger]] = []
    for names in _tensors(signature, given):
        for form in (f for f in forms if not names or len(f.names) == len(names)):
            tensors = names or tuple(f"x{i}" for i in range(len(form.names)))
            tried = ((_tried(one, said), one) for one in _candidates(loss, module, form, tensors, given))
            worth, stranger = next(((worth, one) for worth, one in tried if worth is not None), (0.0, None))
            if stranger is not None:
                found.append((_likeness(form, text, names, code) + worth, stranger))
        if found:
            found.sort(key=lambda pair: -pair[0])
            return [_offering(stranger, signature) for _, stranger in found]
    if len(forms) == 1:
        raise NotALoss(f"it returns no loss as {said[0] if said else f'{forms[0]}: it wants more or fewer tensors'}")
    raise NotALoss(f"it returns no loss in any form of call; the last one tried: {(said or ['none'])[-1]}")


def _tensors(signature: inspect.Signature, given: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The names of the arguments that it needs, none if it takes any; then the same with optional labels."""
    by_position = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = tuple(p.name for p in by_position if p.default is p.empty and p.name not in given)
    if needed or any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        yield needed
    optional = by_position[len(needed)].name if len(by_position) > len(needed) else ""
    if needed and re.search(_LABELS, optional, re.I):
        yield (*needed, optional)


def _code(loss: Callable[..., Any]) -> str:
    """Its source code; empty if unknown."""
    try:
        return inspect.getsource(loss)
    except (OSError, TypeError):
        return ""


def _likeness(form: Form, text: str, names: tuple[str, ...], code: str) -> float:
    """How much the words speak for the form."""
    of_names = sum(bool(re.search(p, n, re.I)) for p, n in zip(form.names, names, strict=False))
    title, _, described = text.partition(" ")
    in_title, in_text = (bool(re.search(form.words, part, re.I)) for part in (title, described))
    of_text = (3 + 2 * (form.data == "masks")) * in_title + 1.5 * in_text
    spoken = 1.5 * (form.input.rstrip("s") in text.lower())
    of_code = bool(re.search(_CODE.get(form.data, r"\b\B"), code))
    return of_names + of_text + spoken + of_code - 0.01 * FORMS.index(form)


def _candidates(
    loss: Callable[..., Any],
    module: nn.Module | None,
    form: Form,
    tensors: tuple[str, ...],
    given: Mapping[str, Any],
) -> Iterator[Stranger]:
    name = getattr(loss, "__name__", type(loss).__name__)
    first = LABELS if form.data in ("classes", "identities", "pairs") else LABELS[::-1]
    for labels in first:
        for copies in (False, True):
            yield Stranger(name, loss, form, tensors, labels, frozenset(), module, copies, given)  # pyright: ignore[reportArgumentType]


def _tried(stranger: Stranger, said: list[str]) -> float | None:
    """A number if it returns a loss that something can learn from, higher if it is never below 0; otherwise None."""
    least = math.inf
    for seed in range(2):
        call = stranger.draw(Generator().manual_seed(seed), torch.float32)
        leaves = [t.requires_grad_() for t in call.args]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.filterwarnings("error", message="Using a target size")  # torch's warning about broadcasts
                value = stranger(*leaves, **call.kwargs)
            if not isinstance(value, Tensor) or not value.is_floating_point() or not value.isfinite().all():  # pyright: ignore[reportUnnecessaryComparison]
                said.append(f"{stranger.form}: {type(value).__name__} {value}"[:200])
                return None
            torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        except Exception as error:  # whatever it raises, it is not called this way
            if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
                raise MemoryError from error  # other forms of call would take as much
            said.append(f"{stranger.form}: {type(error).__name__}: {error}"[:200])
            return None
        least = min(least, value.min().item())
    return 0.0 if least < -1e-6 else 0.75


def _offering(stranger: Stranger, signature: inspect.Signature) -> Stranger:
    """The stranger with what it takes besides its tensors, each tried."""
    offers = {n for n in ("sample_weight", "mask", "ignore_index") if n in signature.parameters}
    offers -= {*stranger.tensors, *stranger.given}
    as_attribute = stranger.module is not None and getattr(stranger.module, "reduction", None) in (
        "mean",
        "sum",
        "none",
    )
    if ("reduction" in signature.parameters or as_attribute) and "reduction" not in stranger.given:
        able = replace(stranger, offers=frozenset(offers | {"reduction"}))
        call = able.draw(Generator().manual_seed(0), torch.float32)
        try:
            values = [able(*call.args, **call.kwargs, reduction=r) for r in ("none", "sum", "mean")]
        except Exception:  # noqa: BLE001  # a different kind of reduction
            values = []
        if values and values[0].dim() > 0 and values[1].dim() == values[2].dim() == 0:
            return able
    return replace(stranger, offers=frozenset(offers))
