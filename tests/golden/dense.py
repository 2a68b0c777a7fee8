"""Dense formulas as one would write them in plain torch, for losses whose float32 answer is ill-conditioned.

The library is then held to be no worse than these, not to five digits. Nothing else belongs here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from golden.adapters import Answerer
from golden.reader import Case


def arcface(case: Case, inputs: dict[str, Tensor]) -> Tensor:
    """Near cosine 1 the angle has half of the cosine's digits."""
    margin, labels = case.params["margin"], inputs["labels"][:, None]
    cosines = F.normalize(inputs["features"]) @ F.normalize(inputs["weight"]).T
    target = cosines.gather(1, labels)
    theta = torch.acos(target.clamp(-1 + 1e-7, 1 - 1e-7))
    beyond = {"linear": target - margin * math.sin(margin), "easy": target, "plain": torch.cos(theta + margin)}
    mode = case.params["theta_plus_m"]
    within = target > 0 if mode == "easy" else theta + margin <= math.pi
    scores = cosines.scatter(1, labels, torch.where(within, torch.cos(theta + margin), beyond[mode]))
    return F.cross_entropy(case.params["scale"] * scores, labels[:, 0], reduction=case.params["reduction"])


DENSE: dict[str, Answerer] = {"arcface": arcface}
