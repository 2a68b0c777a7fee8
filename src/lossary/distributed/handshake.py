"""What the ranks of a group must agree on before they exchange anything, and the error if they do not.

Ranks that disagree misread each other's bytes, or wait for each other forever. So each call of a loss with ``group``
begins with an exchange of a few integers, including the sizes that are needed anyway: whether this rank refuses its
arguments, a hash of everything that must be the same, and a number. If all hashes are equal, the loss goes on. If not,
every rank knows; they tell each other in words, and each raises an error that says which argument differs and what each
rank has. Afterwards the group works as before.

If a rank does not come at all, the others wait for the group's own time-out (``timeout`` of ``init_process_group`` or
``new_group``) and then name it. That group can no longer be used.
"""

import functools
import hashlib
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from numbers import Real
from typing import Any, NoReturn, ParamSpec, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup, Work

from lossary.distributed.shards import WHOLE, check_own, group_of, is_sharded
from lossary.distributed.ways import CHOSEN

P = ParamSpec("P")
T = TypeVar("T")
#: What must be the same on all ranks, in words, by argument and property; property "" is the argument itself.
Facts = dict[tuple[str, str], str]

#: An exchange that takes longer is waiting for a rank: from then on, each rank leaves word that it is there.
SLOW = timedelta(seconds=1)
#: After a failure the others get so long to leave word as well: where one has died, its neighbours fail at once, and a
#: rank that is still computing would be named with it.
A_MOMENT = timedelta(seconds=10)


@dataclass
class Call:
    """One call of a loss on this rank."""

    loss: str
    facts: Facts
    met: bool = False  # whether the ranks have agreed


CALL: ContextVar[Call | None] = ContextVar("call", default=None)


#: What is called when a compiler traces: what the ranks tell each other decides whether they go on at all.
_OUTSIDE: dict[Any, Any] = {}


def across_ranks(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """For a loss that takes ``group``, or a weight whose classes are spread over one: its ranks meet once per call.

    They meet whatever happens to the call on any of them.

    A loss must make all its checks before it gathers: a rank can only refuse until the ranks have met.
    """
    signature = inspect.signature(loss)
    names = [*signature.parameters]
    batch = names.index("features") if "features" in names else 0  # after the loss, in linear_loss

    @functools.wraps(loss)
    def met(group: Any, /, *args: Any, **kwargs: Any) -> Tensor:
        if CALL.get() is not None:
            return loss(*args, **kwargs)
        call = Call(loss.__name__, {})
        before = CALL.set(call)
        try:
            call.facts = _facts(loss.__name__, _bound(signature, args, kwargs))
            result = loss(*args, **kwargs)
            if not call.met:
                # Nothing was exchanged, but another rank may have refused, or be waiting for an exchange.
                meet(group, result.new_zeros((), dtype=torch.int64), {})
        except Exception as error:
            if not call.met:
                _refuse(group, call, error, [*args, *kwargs.values()])
            raise
        finally:
            CALL.reset(before)
        return result

    @functools.wraps(loss)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        if len(args) > batch and type(args[batch]) not in WHOLE:
            check_own(args[batch], names[batch])
        group: Any = kwargs.get("group") or _sharded_over(args, kwargs)
        if group is None:
            return loss(*args, **kwargs)
        if torch.compiler.is_compiling():
            return _outside(met)(group, *args, **kwargs)
        return met(group, *args, **kwargs)

    return run


def _outside(met: Callable[P, T]) -> Callable[P, T]:
    """The same outside of the graph; made only when compiling, since it loads the compiler."""
    if met not in _OUTSIDE:
        _OUTSIDE[met] = torch.compiler.disable(met)
    return _OUTSIDE[met]


def _sharded_over(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ProcessGroup | None:
    for given in (*args, *kwargs.values()):  # torch 2.6 cannot compile next() with a default
        if type(given) not in WHOLE and isinstance(given, Tensor) and is_sharded(given):
            return group_of(given)
    return None


def meet(group: ProcessGroup, number: Tensor, sent: Mapping[str, Tensor | None]) -> list[int]:
    """The ranks' numbers, one int64 each, once they agree on the call and on what they are about to send.

    Raises:
        ValueError: They do not agree.
        RuntimeError: A rank has refused its arguments, or has not come.
    """
    call = CALL.get() or Call("an exchange", {})
    call.met = True
    facts = {**call.facts, **{k: v for name, t in sent.items() for k, v in _shape(name, t).items()}}
    return _exchange(group, call.loss, number, facts)


def meet_again() -> None:
    """For a check that needs what was gathered: the next sum is exchanged in another meeting."""
    call = CALL.get()
    if call is not None:
        call.met = False


def sum_over_ranks(group: ProcessGroup, number: Tensor) -> Tensor:
    """The sum of the ranks' numbers, each 0-d; exchanged as part of the meeting if the ranks have not met yet."""
    call = CALL.get()
    if call is not None and not call.met:
        bits = meet(group, number.double().view(torch.int64), {})
        return torch.tensor(bits).view(torch.float64).sum().to(number)
    summed = number.clone()
    wait(distributed.all_reduce(summed, group=group, async_op=True), group)
    return summed


def _exchange(group: ProcessGroup, loss: str, number: Tensor, facts: Facts, refusal: str = "") -> list[int]:
    mine = torch.tensor([bool(refusal), _digest(facts), 0], device=number.device)
    mine[2] = number
    everyone = [torch.empty_like(mine) for _ in range(distributed.get_world_size(group))]
    wait(distributed.all_gather(everyone, mine, group=group, async_op=True), group)
    rows: list[list[int]] = torch.stack(everyone).tolist()
    if all(row[:2] == [0, rows[0][1]] for row in rows):
        return [row[2] for row in rows]
    said: list[Any] = [None] * len(rows)
    distributed.all_gather_object(said, (refusal, facts), group=group)
    refusals = {rank: error for rank, (error, _) in zip(_numbers(group), said, strict=True) if error}
    if not refusals:
        raise ValueError(_difference(dict(zip(_numbers(group), (f for _, f in said), strict=True))))
    if not refusal:
        reasons = "; ".join(f"rank {rank} refused its arguments of {loss}: {error}" for rank, error in refusals.items())
        raise RuntimeError(f"group: {reasons}")
    return []


def _refuse(group: ProcessGroup, call: Call, error: Exception, arguments: list[Any]) -> None:
    """Tell the others about this rank's own error."""
    # On the device of the others' tensors, as far as this rank can know.
    device = next((a.device for a in arguments if isinstance(a, Tensor)), None)
    number = torch.zeros((), dtype=torch.int64, device=device)
    _exchange(group, call.loss, number, call.facts, f"{type(error).__name__}: {error}")


# ---------------------------------------------------------------- what must be the same


def _bound(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return {}  # the call itself refuses them, in its own words
    bound.apply_defaults()
    return bound.arguments


def _facts(loss: str, arguments: Mapping[str, Any]) -> Facts:
    facts: Facts = {("loss", ""): loss, ("exchange_by", ""): _in_words(CHOSEN.get())}
    for name, value in arguments.items():
        if name == "group":
            continue
        facts[name, ""] = _in_words(value)
        if isinstance(value, Tensor):
            facts[name, "the dtype"] = str(value.dtype).removeprefix("torch.")
            facts[name, "the number of dimensions"] = str(value.dim())
            # Backward exchanges gradients: all ranks must come to it, or none.
            facts[name, "requires_grad"] = str(value.requires_grad and torch.is_grad_enabled())
    return facts


def _in_words(value: Any) -> str:
    """The same words on every rank for the same thing: no addresses, and 1 for 1.0."""
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_in_words, value))})"
    if value is None or isinstance(value, (bool, str)):
        return repr(value)
    return repr(float(value)) if isinstance(value, Real) else f"a {type(value).__name__}"


def _shape(name: str, tensor: Tensor | None) -> Facts:
    if tensor is None:
        return {}
    sizes = ", ".join(map(str, ("N", *tensor.shape[1:])))
    return {(name, "the shape but for its first dimension"): f"({sizes}{',' * (tensor.dim() == 1)})"}


def _digest(facts: Facts) -> int:
    """64 bits that are the same in every process, unlike Python's own hash."""
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest(), signed=True)


def _difference(facts: dict[int, Facts]) -> str:
    """The first thing on which the ranks differ."""
    for key in dict.fromkeys(key for of_rank in facts.values() for key in of_rank):
        ranks: dict[str, list[int]] = {}
        for rank, of_rank in facts.items():
            ranks.setdefault(of_rank.get(key, "nothing"), []).append(rank)
        if len(ranks) > 1:
            name, on = key
            came = ", ".join(f"{text} on {_listed(numbers)}" for text, numbers in ranks.items())
            return f"{name}: all ranks must agree{f' on {on}' if on else ''}; got {came}"
    return "group: the ranks disagree on what they have in common"


# ---------------------------------------------------------------- who does not come


def wait(work: Work | None, group: ProcessGroup, *, at_once: bool = False) -> None:
    """Wait for an exchange; if it fails, name the ranks that did not come to it.

    Nobody waits for accelerators here: their work is in order with what follows, and torch itself watches over it.

    Args:
        work: The exchange.
        group: Its ranks.
        at_once: For gloo's sends and receives: a wait for them that ends early closes the connection.
    """
    if work is None or distributed.get_backend(group) != "gloo":
        if work is not None:
            work.wait()
        return
    if not hasattr(group, "get_group_store"):
        raise RuntimeError(f"group: wanted torch 2.9 or newer for ranks that meet by gloo; got {torch.__version__}")
    start = time.monotonic()
    store, key = group.get_group_store(), f"lossary/waits/{distributed.get_rank(group)}"
    try:
        (_watched if at_once else _patiently)(work, store, key)
    except RuntimeError as error:
        _blame(error, group, start)


def begun(begin: Callable[[], T], group: ProcessGroup) -> T:
    """Begin an exchange: even here gloo may find that a connection is gone."""
    start = time.monotonic()
    try:
        return begin()
    except RuntimeError as error:
        _blame(error, group, start)


def _blame(error: RuntimeError, group: ProcessGroup, start: float) -> NoReturn:
    """Raise the error, naming the ranks that did not come, if others did."""
    store = group.get_group_store()
    try:
        store.set(f"lossary/waits/{distributed.get_rank(group)}", "")
        silent = _silent(group, store)
    except RuntimeError:  # the store is gone, with the rank that kept it
        raise error from None
    if not silent:
        raise error
    waited = f"after {time.monotonic() - start:.1f} s"
    maybe = "was the loss called there without group, or not at all?"
    raise RuntimeError(f"group: {_listed(silent)} did not come to the exchange {waited}; {maybe}") from error


def _patiently(work: Work, store: Any, key: str) -> None:
    try:
        work.wait(SLOW)
    except RuntimeError:
        if work.is_completed():
            # It failed, or came to its end just now; asked again, it raises what it failed with.
            work.wait()
            return
        store.set(key, "")
        work.wait()
        store.delete_key(key)


def _watched(work: Work, store: Any, key: str) -> None:
    left = threading.Event()

    def leave_word() -> None:
        left.set()
        store.set(key, "")

    clock = threading.Timer(SLOW.total_seconds(), leave_word)
    clock.daemon = True
    clock.start()
    try:
        work.wait()
    finally:
        clock.cancel()
        clock.join()
    if left.is_set():
        store.delete_key(key)


def _silent(group: ProcessGroup, store: Any) -> list[int]:
    """The ranks that have left no word; those that wait or fail with this one, or will, get a moment to do so."""
    end = time.monotonic() + A_MOMENT.total_seconds()
    while True:
        here = [store.check([f"lossary/waits/{rank}"]) for rank in range(distributed.get_world_size(group))]
        if all(here) or time.monotonic() > end:
            return [number for number, there in zip(_numbers(group), here, strict=True) if not there]
        time.sleep(0.05)


def _numbers(group: ProcessGroup) -> list[int]:
    """The numbers of the group's ranks among all processes, as logs and launchers show them."""
    return distributed.get_process_group_ranks(group)


def _listed(ranks: list[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
