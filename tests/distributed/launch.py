"""Ranks as processes of their own: forked from one that has read torch already, which takes a rank 4 s to do itself.

With ``LOSSARY_HOSTS``, names of network namespaces that ``scripts/several_hosts.py`` makes, they are on several hosts,
which reach each other over the device ``LOSSARY_LINK``.
"""

import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp

#: What every rank needs, read once.
READ = ["torch", "torch.distributed", "torch.utils.flop_counter", "lossary", "lossary.functional", "lossary.catalogue"]


def launch(run: Callable[..., None], size: int, *args: Any) -> None:
    """``run(rank, *args)`` on so many ranks, until all are done."""
    if hosts := os.environ.get("LOSSARY_HOSTS"):
        _over(hosts.split(","), run, size, args)
        return
    multiprocessing.set_forkserver_preload(READ)
    mp.start_processes(run, args, nprocs=size, start_method="forkserver")


def _over(hosts: list[str], run: Callable[..., None], size: int, args: tuple[Any, ...]) -> None:
    code = "import pickle, sys; run, args = pickle.load(open(sys.argv[1], 'rb')); run(int(sys.argv[2]), *args)"
    link = os.environ["LOSSARY_LINK"]  # of the ranks alone: groups of this process are not on any of the hosts
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": link}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call"
        path.write_bytes(pickle.dumps((run, args)))
        commands = [
            ["ip", "netns", "exec", hosts[rank % len(hosts)], sys.executable, "-c", code, str(path), str(rank)]
            for rank in range(size)
        ]
        ranks = [subprocess.Popen(command, env=given) for command in commands]
        while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
            time.sleep(0.1)
        for rank in ranks:
            rank.kill()  # of those that are done too, which does nothing
    assert [rank.wait() for rank in ranks] == [0] * size
