"""Data sets, each in three splits that never move: training, validation (tuning) and test (reported).

``types`` defines what a data set is, ``builtin`` lists the ones that ship with the lab, and ``readers`` has a file for
each format of user data. ``files`` chooses the reader, the task (``targets``) and the splits (``splits``); ``loading``
loads either kind.

Terms: the *task* is what a network should do ("zero-shot"); the *data* are what is loaded for it; a *split* is a part
of them; a *source* is what a reader found, before it is split.
"""
