"""A comparison's work: the plan, its jobs, training and tuning, and the records that they leave in a folder."""
