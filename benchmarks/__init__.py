"""What the losses cost in time and memory, beside other libraries: ``make bench``."""
