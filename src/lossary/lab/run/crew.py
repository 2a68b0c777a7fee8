"""Several processes that train each run together, each on its share of every batch, as ``torchrun`` starts them.

The first one leads: it does everything that a single process would do, is the only one to write and print, and tells
the others which run begins. Up to rounding, steps are those of one process with whole batches: a loss that takes
``group`` is called with it; for any other loss the outputs are gathered, so each process computes the loss of the whole
batch. Gradients are averaged, and batch norms use all items.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from lossary.distributed.gather import Ranks
from lossary.distributed.handshake import wait
from lossary.distributed.normalizing import NormalizedTogether
from lossary.lab.run.stored import Refused

T = TypeVar("T")

#: Variables that a launcher sets for each process.
TOLD_BY_LAUNCHERS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: The leader may judge, draw and wait for other machines before it announces the next run.
PATIENCE = timedelta(days=7)
#: Seconds within which a launcher ends the others once one process is gone.
SOON = 5.0


class Lost(Exception):
    """Another process is gone."""


class Ended(BaseException):
    """The launcher ends this process."""


class Abandoned(Exception):
    """The leader has given up the current run."""


class Learns(Protocol):
    """A network and the loss on its outputs."""

    def embed(self, inputs: Tensor, /) -> Tensor: ...

    @property
    def takes_group(self) -> bool: ...

    def loss_of(self, outputs: Tensor, targets: Tensor, /, **given: Any) -> Tensor: ...


class Alone:
    """A single process, with whole batches."""

    leads = True
    size = 1

    def share(self, items: int) -> slice:
        """This process's items of a batch."""
        return slice(0, items)

    def loss(self, learner: Learns, inputs: Tensor, targets: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        return learner.loss_of(learner.embed(inputs), targets, **given)

    def average(self, loss: Tensor, module: nn.Module) -> float:
        """After backward: returns the loss of the whole batch, and turns the gradients into those of it."""
        return loss.item()

    def agreed(self, found: Callable[[], T]) -> T:
        """The leader's result; the others do not compute it."""
        return found()

    def tell(self, *told: Any) -> None:
        """Send from the leader to the others, which call :meth:`Crew.listen`."""

    def joined(self, refusal: str = "") -> None:
        """Check that each process has what it needs."""


class Crew(Alone):
    """One of several processes.

    Args:
        group: For the contents of batches.
        control: For the leader's messages, over gloo.
    """

    def __init__(self, group: ProcessGroup, control: ProcessGroup) -> None:
        self.group, self.control = group, control
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)
        self.leads = self.rank == 0
        self.result: Any = None  # the leader's, for all

    def share(self, items: int) -> slice:
        if items < self.size:
            raise Refused(f"batch: wanted at least an item for each of {self.size} processes; got {items}")
        return slice(items * self.rank // self.size, items * (self.rank + 1) // self.size)

    def loss(self, learner: Learns, inputs: Tensor, targets: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        with NormalizedTogether(self.group):
            outputs = learner.embed(inputs)
        if learner.takes_group:
            return learner.loss_of(outputs, targets, group=self.group, **given)
        ranks = Ranks.of(self.group, outputs=outputs, targets=targets, **given)
        whole = {name: ranks.in_order(tensor) for name, tensor in given.items()}
        return learner.loss_of(ranks.in_order(outputs), ranks.in_order(targets), **whole)

    def average(self, loss: Tensor, module: nn.Module) -> float:
        """One exchange, for all gradients and the loss."""
        grads = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in grads), loss.detach().view(1)]) / self.size
        wait(distributed.all_reduce(flat, group=self.group, async_op=True), self.group)
        *parts, value = flat.split([*(g.numel() for g in grads), 1])
        for grad, part in zip(grads, parts, strict=True):
            grad.copy_(part.view_as(grad))
        return value.item()

    def agreed(self, found: Callable[[], T]) -> T:
        if not self.leads:
            well, value = self.listen()
            if not well:
                raise Abandoned
            return value
        try:
            value = found()
        except Exception:
            self.tell(False, None)
            raise
        self.tell(True, value)
        return value

    def tell(self, *told: Any) -> None:
        if self.leads:
            distributed.broadcast_object_list([told], group=self.control, group_src=0)

    def listen(self) -> tuple[Any, ...]:
        """The leader's next message."""
        said: list[Any] = [None]
        distributed.broadcast_object_list(said, group=self.control, group_src=0)
        return said[0]

    def joined(self, refusal: str = "") -> None:
        """Each process reports whether it has what it needs.

        Raises:
            Refused: on the leader, naming a process that does not.
        """
        said: list[str] = [""] * self.size
        distributed.all_gather_object(said, refusal, group=self.control)
        for rank, text in enumerate(said):
            if self.leads and text:
                raise Refused(f"process {rank}: {text}")


ALONE = Alone()
#: The processes to which this one belongs.
CREW: ContextVar[Alone] = ContextVar("crew", default=ALONE)


def launched() -> bool:
    """Whether a launcher has started this process as one of several."""
    return all(name in os.environ for name in TOLD_BY_LAUNCHERS) and int(os.environ["WORLD_SIZE"]) > 1


@contextmanager
def crew_of(device: str) -> Generator[Alone]:
    """The processes that a launcher has started, until the leader is done; otherwise this one alone.

    Raises:
        Refused: if the device is named with a number.
        Lost: if a process is gone, or the launcher ends all; raised in one process, the others end silently.
    """
    if not launched():
        yield CREW.get()
        return
    if ":" in device:
        raise Refused(f"device: wanted auto, cpu or the name of an accelerator for several processes; got {device!r}")
    was_on = distributed.is_initialized()
    crew = _connected(device)
    with _ended_by_launcher() as ended:
        before = CREW.set(crew)
        try:
            yield crew
            crew.tell("done", crew.result)
        except (RuntimeError, Ended) as error:
            # gloo notices first that a connection is gone; then a launcher that supervises them ends this process.
            if not _is_ended(ended) and not str(error).startswith("group:"):
                raise
            _lost(error, crew.control.get_group_store())
        except KeyboardInterrupt:  # which reaches all
            if not crew.leads:
                os._exit(130)
            raise
        except Exception:
            crew.tell("failed")
            raise
        finally:
            CREW.reset(before)
    if not was_on:
        distributed.destroy_process_group()


def _connected(device: str) -> Crew:
    """Connect to the others, each process on its own device."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() and device != "cpu" else None
    if found is not None:
        torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", "0")))
    if not distributed.is_initialized():
        distributed.init_process_group(distributed.get_default_backend_for_device(found or "cpu"))
    world = distributed.group.WORLD
    assert world is not None
    control = distributed.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(control, ProcessGroup)
    return Crew(world, control)


@contextmanager
def _ended_by_launcher() -> Generator[threading.Event]:
    """Inside, a launcher's signal to end this process raises :class:`Ended` and sets the event."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ended.set()
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield ended
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_ended(ended: threading.Event) -> bool:
    with suppress(Ended):  # raised here if it arrives during this wait
        ended.wait(SOON)
    return ended.is_set()


def _lost(error: BaseException, store: Any) -> NoReturn:
    """Raise it in the first process that gets here; the others end silently."""
    try:
        first = store.add("lossary/lost", 1) == 1
    except RuntimeError:  # the store was in the process that is gone
        first = True
    if first:
        raise Lost("another process is gone") from error
    os._exit(1)
