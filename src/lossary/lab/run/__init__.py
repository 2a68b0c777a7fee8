"""A comparison's work: the plan, its jobs, training and tuning, and the records they leave in a folder."""
