"""Run tests of several processes over several hosts, which are network namespaces, over a slow and lossy link.

    python scripts/several_hosts.py [--hosts 2] [--delay 50] [--loss 1] [tests/distributed/test_group.py ...]

Needs Linux, root, ``ip``, ``iptables`` and /dev/net/tun; says so, and runs nothing, where one is missing. Every packet
between hosts passes this process, which keeps it for the delay (most kernels of containers have no netem); iptables
drops some of those that arrive. Ranks are dealt to the hosts in turn.
"""

import argparse
import fcntl
import heapq
import ipaddress
import os
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

TUNSETIFF, TUN, BARE = 0x400454CA, 0x0001, 0x1000
DEVICE = "lossary"
TESTS = ("tests/distributed/test_group.py", "tests/distributed/test_memories.py")


def does(*command: str) -> str:
    """What a command says that fails; empty if it does not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"{command[0]} ended with {done.returncode}" if done.returncode else ""


def lacking() -> str:
    """Why this machine cannot do it; empty if it can."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "needs Linux, and root in it"
    missing = [name for name in ("ip", "iptables") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    said = does("ip", "netns", "add", "lossary-try")
    if not said:
        said = does("ip", "netns", "exec", "lossary-try", *dropping("lo", 1.0))
        does("ip", "netns", "del", "lossary-try")
    return f"the kernel does not allow it: {said}" if said else ""


def dropping(device: str, percent: float) -> tuple[str, ...]:
    chance = f"{percent / 100:.4f}"
    rule = ("-A", "INPUT", "-i", device, "-m", "statistic", "--mode", "random", "--probability", chance, "-j", "DROP")
    return ("iptables", *rule)


@contextmanager
def hosts(count: int, delay: float, loss: float) -> Generator[list[str]]:
    """Namespaces that reach each other through this process, by name."""
    names = [f"lossary{number}" for number in range(count)]
    ends: dict[str, int] = {}
    try:
        for number, name in enumerate(names):
            does("ip", "netns", "del", name)  # what a run that was killed has left
            address, device = f"10.77.0.{number + 1}", f"{DEVICE}{number}"
            end = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", device.encode(), TUN | BARE))
            ends[address] = end
            for command in (
                ("ip", "netns", "add", name),
                ("ip", "link", "set", device, "netns", name),  # it stays at this end, wherever its other one is
                ("ip", "-n", name, "link", "set", device, "name", DEVICE),
                ("ip", "-n", name, "addr", "add", f"{address}/24", "dev", DEVICE),
                ("ip", "-n", name, "link", "set", "lo", "up"),
                ("ip", "-n", name, "link", "set", DEVICE, "up"),
                *([("ip", "netns", "exec", name, *dropping(DEVICE, loss))] if loss else []),
            ):
                if said := does(*command):
                    raise OSError(f"{' '.join(command)}: {said}")
        threading.Thread(target=relay, args=(ends, delay), daemon=True).start()
        yield names
    finally:
        for name in names:
            does("ip", "netns", "del", name)


def relay(ends: dict[str, int], delay: float) -> None:
    """Pass each packet on, to whom it is for, once it has been here for as long as the delay."""
    waiting: list[tuple[float, int, int, bytes]] = []
    count = 0
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select([*ends.values()], [], [], left)[0]:
            try:
                packet = os.read(end, 1 << 16)
            except OSError:  # the hosts are gone
                return
            to = ends.get(str(ipaddress.ip_address(packet[16:20]))) if packet[0] >> 4 == 4 else None
            if to is not None:
                count += 1
                heapq.heappush(waiting, (time.monotonic() + delay, count, to, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(waiting)
            os.write(to, packet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--delay", type=float, default=50.0, help="milliseconds, each way")
    parser.add_argument("--loss", type=float, default=1.0, help="percent of the packets")
    parser.add_argument("tests", nargs="*", default=TESTS)
    asked = parser.parse_args()
    if why := lacking():
        sys.exit(f"several hosts: not here: {why}")
    with hosts(asked.hosts, asked.delay / 1000, asked.loss) as names:
        ping = ("ip", "netns", "exec", names[0], "ping", "-c", "5", f"10.77.0.{len(names)}")
        if shutil.which("ping"):
            subprocess.run(ping, check=False)
        given = {**os.environ, "LOSSARY_HOSTS": ",".join(names), "LOSSARY_LINK": DEVICE}
        begun = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *asked.tests], env=given, check=False)
        print(f"{time.monotonic() - begun:.0f} s over {len(names)} hosts, {asked.delay:g} ms, {asked.loss:g} % lost")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
