"""What every loss is built from: Modules over functions, reductions, checks, cards."""
