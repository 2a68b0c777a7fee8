"""One step with each loss that somebody wrote out, before anything is stored and hours of training begin."""

import traceback

import torch
from torch import Generator

from lossary.lab.data.contents import BadData
from lossary.lab.data.readers.items import told
from lossary.lab.data.types import Data
from lossary.lab.run.devices import chosen, placed
from lossary.lab.run.entrants import Entrant
from lossary.lab.run.plan import Plan
from lossary.lab.run.train import Learner, batches, loss_of


def check_trains(entrant: Entrant, data: Data, plan: Plan) -> None:
    """Whether an entry with options, or from a file, can be made and gives a loss that depends on the network.

    Raises:
        BadData: naming the entry, and the line of its file where it fails.
    """
    files = entrant.entry.files
    if not files and not any(part.options for part in entrant.parts):
        return
    device = torch.device(chosen(plan.device))
    generator = Generator().manual_seed(0)
    try:
        learner = Learner(entrant, {}, data, seed=0).to(device).train()
        batch = next(batches(entrant, data, plan, generator))
        loss = loss_of(learner, placed(data, device), batch, generator, plan.precision)
        if loss.dim():
            raise ValueError(f"wanted one number for a batch; got the shape {tuple(loss.shape)}")
        loss.backward()
    except (Exception, SystemExit) as error:
        if not files and not isinstance(error, ValueError | TypeError | IndexError):
            raise  # from a loss of the library, anything else is a fault of ours
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        why = told(error) if files else " ".join(str(error).split())
        raise BadData(f"losses: {entrant.name}: {why}{where}") from error
