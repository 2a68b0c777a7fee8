"""Every loss, in packages by the data it takes; the public names are those of ``lossary``."""

from lossary.losses import _former as _former
