"""What only torch's private parts can answer: the one file to look at when a new torch moves something.

Torch has no public way to ask whether a transform of ``torch.func`` is on, or whether a backward pass may be followed
by another; the answers decide whether values may be read and memory overwritten. Nothing else in the library names a
module of torch that begins with an underscore, or an operator without a function.

Each answer has a stand-in for versions of torch that lack it. It is the cautious answer: results are still right, but
take longer or are checked less. ``LACKING`` lists what is missing.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: What this version of torch lacks.
LACKING: list[str] = []


def _found(path: str, otherwise: Callable[..., Any] | None) -> Any:
    try:
        return attrgetter(path)(torch)
    except AttributeError:
        LACKING.append(path)
        return otherwise


def _true(*_: object) -> bool:
    return True


def _proxy_mode(_: object) -> object:
    from torch.fx.experimental.proxy_tensor import get_proxy_mode  # takes a while to import

    return get_proxy_mode()


_outside_modes = _found("utils._python_dispatch._disable_current_modes", nullcontext)
_modes_on = _found("_C._len_torch_dispatch_stack", _true)
_PROXY = _found("_C._TorchDispatchModeKey.PROXY", None)
_mode = _proxy_mode if _PROXY is None else _found("_C._get_dispatch_mode", _proxy_mode)
_func_level = _found("_C._functorch.maybe_current_level", _true)
#: Whether autocast is on for some device: a sixth of the time of asking about one.
any_autocast: Callable[[], bool] = _found("_C._is_any_autocast_enabled", _true)
#: Whether a tensor was wrapped by a transform of ``torch.func`` for its function.
is_wrapped: Callable[[Tensor], bool] = _found("_C._functorch.is_functorch_wrapped_tensor", _true)
_graph_is_kept = _found("_C._autograd._get_current_graph_task_keep_graph", _true)

#: Read at each call, because the number changes.
_forward_ad = torch.autograd.forward_ad
_found("autograd.forward_ad._current_level", _true)

_PLAIN = Tensor.__torch_dispatch__  # pyright: ignore


#: A context that sees every operator; a class to inherit from.
DispatchMode: Any = _found("utils._python_dispatch.TorchDispatchMode", object)


def fake_tensors(*, beside_real_ones: bool = False) -> Any:
    """A context in which tensors have shapes, dtypes and devices, but no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # takes a while to import

    return FakeTensorMode(allow_non_fake_inputs=beside_real_ones)


def records_operations() -> bool:
    """Whether ``make_fx`` is recording, which ``torch.compiler.is_compiling`` does not tell."""
    return _modes_on() > 0 and _mode(_PROXY) is not None


def outside_modes() -> AbstractContextManager[object]:
    """A context outside all modes, with real tensors: for questions about the device alone."""
    return _outside_modes()


def is_plain(x: Tensor) -> bool:
    """Whether torch's operators run on ``x`` directly: not if it is fake, or a subclass that intercepts them."""
    return type(x).__torch_dispatch__ is _PLAIN  # pyright: ignore


def is_transforming() -> bool:
    """Whether a transform of ``torch.func``, or forward mode, is on."""
    return _func_level() is not None or getattr(_forward_ad, "_current_level", 0) >= 0


def keeps_graph() -> bool:
    """In a backward pass: whether its graph, and what was saved for it, must outlive it."""
    return _graph_is_kept()


def ctc_losses(x: Tensor, labels: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int) -> Tensor:
    """CTC losses, (N,): infinite, with a gradient of 0, where no path leads to the labels.

    ``torch.ctc_loss`` has either the infinite loss or the gradient of 0.
    """
    return _ctc(x, labels, input_lengths, target_lengths, blank, True)[0]


def _both_ways(
    x: Tensor, labels: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int, zero_infinity: bool
) -> tuple[Tensor]:
    finite = F.ctc_loss(x, labels, input_lengths, target_lengths, blank, "none", zero_infinity)
    infinite = F.ctc_loss(x.detach(), labels, input_lengths, target_lengths, blank, "none") == math.inf
    return (torch.where(infinite, math.inf, finite),)


_ctc = _found("ops.aten._ctc_loss.Tensor", _both_ways)


def times_twice_difference_(p: Tensor, a: Tensor, b: Tensor) -> None:
    """``p`` times 2 (a - b), written over ``p``: the gradient of (a - b)^2, a single operation of torch."""
    _times_twice_difference(p, a, b, 0, grad_input=p)


def _in_two(p: Tensor, a: Tensor, b: Tensor, reduction: int, *, grad_input: Tensor) -> None:
    torch.mul(p, 2 * (a - b), out=grad_input)


_times_twice_difference = _found("ops.aten.mse_loss_backward.grad_input", _in_two)


def mean_nll(log_p: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """``F.nll_loss`` of log-probabilities (N, C, ...), and the number of labels in its mean, known to torch."""
    if log_p.dim() == 2:
        return _nll(log_p, labels, None, 1, ignore_index)
    images = log_p.flatten(2)[:, :, None], labels.flatten(1)[:, None]
    return _nll_of_images(*images, None, 1, ignore_index)


def _counted_again(log_p: Tensor, labels: Tensor, weight: None, _: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    return F.nll_loss(log_p, labels, weight, ignore_index=ignore_index), (labels != ignore_index).sum()


_nll = _found("ops.aten.nll_loss_forward", _counted_again)
_nll_of_images = _found("ops.aten.nll_loss2d_forward", _counted_again)


def softmax_gradient(asked: Tensor, p: Tensor) -> Tensor:
    """From the gradient by probabilities p, over dimension 1, to that by their logits; itself differentiable."""
    return _softmax_gradient(asked, p, 1, p.dtype)


def _less_mean(asked: Tensor, p: Tensor, dim: int, _: torch.dtype) -> Tensor:
    return p * (asked - (p * asked).sum(dim, keepdim=True))


_softmax_gradient = _found("_softmax_backward_data", _less_mean)


#: Whether a compiled argmax is right. Earlier, Inductor on CPU returns wrong places if it fuses an argmax over rows of,
#: say, 9 with what makes them: it counts right in whole vectors, but not in the rest of a row.
_ARGMAX_COMPILES = torch.__version__ >= "2.9"


def first_largest(x: Tensor) -> Tensor:
    """The place of the largest in the last dimension, (..., 1); the first if several are equal."""
    if _ARGMAX_COMPILES or not torch.compiler.is_compiling():
        return x.argmax(-1, keepdim=True)
    return x.sort(dim=-1, descending=True, stable=True).indices[..., :1]


def first_smallest(x: Tensor) -> Tensor:
    """The place of the smallest, (..., 1)."""
    if _ARGMAX_COMPILES or not torch.compiler.is_compiling():
        return x.argmin(-1, keepdim=True)
    return first_largest(-x)
