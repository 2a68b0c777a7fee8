"""Compare every preset with the original on the whole grid, print the counts, and store the originals' answers.

``python scripts/record_presets.py`` needs the originals: ``pip install monai segmentation-models-pytorch kornia
pytorch-metric-learning sentence-transformers torchvision timm lightly``, and two files of repositories that are no
packages, named by LOSSARY_INSIGHTFACE_LOSSES (recognition/arcface_torch/losses.py of deepinsight/insightface) and
LOSSARY_MMSEG_DICE (mmseg/models/losses/dice_loss.py of open-mmlab/mmsegmentation). A peer that is not there keeps what
was stored.
Tests hold the presets to the stored answers where the originals are not installed.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from benchmarks.peers import make_torchvision_importable  # noqa: E402

from presets import peers, stored  # noqa: E402
from presets.grid import Call, calls  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--only", default="", metavar="PEER", help="this peer alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the originals' own
    make_torchvision_importable()
    by_peer: dict[str, list[Call]] = {}
    for call in calls():
        by_peer.setdefault(call.peer, []).append(call)
    record = stored.load() if stored.FILE.exists() else {}
    failed = 0
    for peer, asked in by_peer.items():
        if given.only not in ("", peer):
            continue
        if peers.find(peer) is None:
            print(f"{peer}: not installed")
            continue
        answers = [peers.answer(peers.original(call), call) for call in asked]
        worst = [
            stored.difference(peers.answer(peers.ours(call), call), it) for call, it in zip(asked, answers, strict=True)
        ]
        unequal = [call.key for call, d in zip(asked, worst, strict=True) if not d <= call.tolerance]
        failed += len(unequal)
        print(
            f"{peer} ({peers.version(peer)}): {len(asked)} calls, largest difference {max(worst):.0e}",
            *unequal,
            sep="\n  ",
        )
        record[peer] = stored.entry(peers.version(peer), asked, answers)
    print(sum(map(len, by_peer.values())), "calls in all")
    if not given.check:
        stored.FILE.write_text(json.dumps(record, separators=(",", ":")).replace("],[", "],\n[") + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
