"""Samples of the losses of ``losses/lists/listwise.py``."""

from torch import Generator, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples._shared import edges_lists
from samples.types import Samples


def _draw_relevance(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5).abs()))


SAMPLES: dict[str, Samples] = {
    "listnet_loss": Samples(
        edges=edges_lists, draw=_draw_relevance, variants=({}, {"temperature": 0.25}, {"temperature": 3.0})
    ),
    "listmle_loss": Samples(edges=edges_lists),
    "approx_ndcg_loss": Samples(
        edges=edges_lists, draw=_draw_relevance, variants=({}, {"temperature": 1.0}, {"temperature": 0.5})
    ),
}
