"""What the training data say about a finished learner."""

from copy import deepcopy
from itertools import islice

from torch import Generator

from lossary.lab.data.types import Data
from lossary.lab.run.devices import placed
from lossary.lab.run.entrants import Entrant
from lossary.lab.run.plan import Plan
from lossary.lab.run.train import Learner, batches, loss_of
from lossary.watching.hooks import watch

WATCHED = 20  # training batches


def watched(learner: Learner, entrant: Entrant, data: Data, plan: Plan, seed: int) -> dict[str, float]:
    """The facts of a few more training batches, without a step: so no training step pays for them."""
    if entrant.entry.terms[0].file:  # its numbers have no known range
        return {}
    learner = deepcopy(learner).train()  # a copy, because batch norms change with every batch
    here = placed(data, next(learner.parameters()).device)
    generator = Generator().manual_seed(seed)
    with watch(learner.criterion.loss) as seen:
        for batch in islice(batches(entrant, data, plan, generator), WATCHED):
            loss_of(learner, here, batch, generator, "float32").backward()
    (facts,) = seen.facts().values()
    return facts
