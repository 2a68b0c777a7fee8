"""Data sets, each in three splits that never move: training, validation (tuning) and test (reported).

``types`` says what a data set is, ``builtin`` lists those that the lab brings, ``readers`` have a file for each form
that a person's own data may come in. ``files`` chooses the reader, the task (``targets``) and the splits (``splits``);
``loading`` is asked for either.

What words mean here: the *task* is what is asked of a network ("zero-shot"); the *data* are what is loaded for it; a
*split* is a part of them; a *source* is what a reader found, before it is split.
"""
