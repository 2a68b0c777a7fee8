"""When a kernel may work in place: where it is the last to see a tensor, and nothing looks through it."""

import torch
from torch._C._functorch import maybe_current_level  # pyright: ignore


def plain_only() -> bool:
    """Whether a compiler, a ``torch.func`` transform or forward mode looks on: they see through plain torch only."""
    if torch.compiler.is_compiling():
        return True
    return maybe_current_level() is not None or torch.autograd.forward_ad._current_level >= 0


def last_use() -> bool:
    """In a backward pass: whether its graph is freed after it, so that what was saved may become the gradient."""
    return not torch.is_grad_enabled() and not torch._C._autograd._get_current_graph_task_keep_graph()
