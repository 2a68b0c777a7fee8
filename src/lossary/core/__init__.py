"""What every loss is made of: Modules over functions, reductions, checks, cards."""
