"""What the process that runners are forked from has loaded. It computes nothing and opens nothing.

A fork is safe only from a process without running threads and without a CUDA context: importing torch makes neither,
its first operation may make both. So runners still take their first step themselves (`service.training.warmup`).
"""

from service.loading import without_collection

with without_collection():
    import torch._dynamo  # noqa: F401 - the first optimizer would import it, in a second of its own

    import service.worker.runner  # noqa: F401 - its import is the purpose
