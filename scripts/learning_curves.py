"""How long losses rise on the emoji: the table of docs/decisions/0010-when-a-run-ends.md.

    python scripts/learning_curves.py [--losses supcon_loss,cosface_loss] [--seed 1] [--file curves.json]

Trains each loss with the library's defaults, past the rule that would end it, and looks at these steps alone. Takes two
minutes of a core and loss; what is done is kept in the file, if one is named.
"""

import argparse
import json
import time
from pathlib import Path
from unittest import mock

import torch

from lossary.lab.data.loading import load
from lossary.lab.run.entrants import entrants
from lossary.lab.run.plan import Plan
from lossary.lab.run.stopping import Curve, Watch
from lossary.lab.run.train import train

LOSSES = "cosface_loss,supcon_loss,cross_entropy,multi_similarity_loss,arcface_loss,triplet_loss,contrastive_loss"
BOUND = 1120  # of a first look
EVERY = 14
SHOWN = (14, 98, 280, 420, 560, 840, BOUND, 1820)


def curve_of(loss: str, seed: int) -> tuple[Curve, float]:
    """Recall@1 on the validation part every 14 steps, and milliseconds of CPU time a step."""
    plan = Plan(data="emoji", steps=SHOWN[-1])
    data = load(plan)
    (entrant,) = entrants((loss,), data.task).values()
    with (
        mock.patch.object(Watch, "due", lambda _, step: step % EVERY == 0),
        mock.patch.object(Watch, "finished", new=False),
    ):
        begun = time.process_time()
        outcome = train(entrant, {}, data, plan, seed)
    taken = 1000 * (time.process_time() - begun) / outcome.steps
    return Curve.of(outcome.curve, higher_is_better=True), taken


def rise(curve: Curve, bound: int) -> float:
    """By how many percent the last sixth of the steps is above the sixth before, as the rule that ends runs asks."""
    kept = sum(step <= bound for step in curve.steps)
    last, before = Curve(curve.steps[:kept], curve.values[:kept]).sixths()
    return 100 * (sum(last) / len(last) / (sum(before) / len(before)) - 1)


def line(loss: str, curve: Curve, taken: float) -> str:
    by_step = dict(zip(curve.steps, curve.values, strict=True))
    scores = " | ".join(f"{100 * by_step[step]:.1f}" for step in SHOWN)
    return f"| {loss} | {scores} | {rise(curve, BOUND):.1f} | {taken:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", default=LOSSES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(options.file.read_text()) if options.file and options.file.exists() else {}
    print(f"| loss | {' | '.join(map(str, SHOWN))} | rise at {BOUND}, % | ms a step |")
    print("| --- " * (len(SHOWN) + 3) + "|")
    for loss in options.losses.split(","):
        if loss not in kept:
            curve, taken = curve_of(loss, options.seed)
            kept[loss] = [curve.steps, curve.values, taken]
            if options.file:
                options.file.write_text(json.dumps(kept))
        steps, values, taken = kept[loss]
        print(line(loss, Curve(tuple(steps), tuple(values)), taken), flush=True)


if __name__ == "__main__":
    main()
