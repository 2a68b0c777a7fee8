"""What the losses cost in time and memory, beside other libraries: ``make bench``."""

import os

# torch's profiler would remark on each of its starts.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
