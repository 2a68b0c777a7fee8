"""Ranks as processes of their own: forked from one that has read torch already, which takes a rank 4 s to do itself."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

#: What every rank needs, read once.
READ = ["torch", "torch.distributed", "torch.utils.flop_counter", "lossary", "lossary.functional", "lossary.catalogue"]


def launch(run: Callable[..., None], size: int, *args: Any) -> None:
    """``run(rank, *args)`` on so many ranks, until all are done."""
    multiprocessing.set_forkserver_preload(READ)
    mp.start_processes(run, args, nprocs=size, start_method="forkserver")
