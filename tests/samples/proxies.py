"""Samples of the losses of ``losses/identities/proxies.py``."""

from torch import Generator, dtype

from lossary.testing import Call
from lossary.testing.draws import labels, normal
from samples._shared import edges_head
from samples.angular import golden_head
from samples.types import Samples


def _draw_centers(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 7, 3, 5), labels(g, 7, 6)))


SAMPLES: dict[str, Samples] = {
    "proxy_nca_loss": Samples(
        edges=edges_head,
        variants=({}, {"scale": 9.0, "own_in_sum": True}, {"scale": 4.0}),
        golden={"proxy_nca": golden_head},
    ),
    "soft_triple_loss": Samples(
        edges=edges_head,
        draw=_draw_centers,
        variants=({}, {"scale": 4.0, "gamma": 0.5, "margin": 0.25, "tau": 1.5}, {"gamma": 0.01, "tau": 0.0}),
        golden={"soft_triple": golden_head},
    ),
}
