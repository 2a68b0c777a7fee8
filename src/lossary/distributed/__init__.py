"""One batch over several processes.

``gather`` collects what the ranks of a group have, with its gradient; ``handshake`` makes sure that all ask for the
same, or names what differs and where.
"""

from lossary.distributed.gather import Ranks as Ranks
from lossary.distributed.gather import gathered as gathered
from lossary.distributed.gather import numbered as numbered
from lossary.distributed.gather import totals as totals
from lossary.distributed.handshake import across_ranks as across_ranks
