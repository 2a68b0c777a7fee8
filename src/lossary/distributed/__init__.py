"""One batch over several processes.

``gather`` brings together what the ranks of a group have, with its gradient; ``handshake`` sees to it that they all ask
for the same, or names what differs and where.
"""

from lossary.distributed.gather import Ranks as Ranks
from lossary.distributed.gather import gathered as gathered
from lossary.distributed.gather import numbered as numbered
from lossary.distributed.handshake import across_ranks as across_ranks
