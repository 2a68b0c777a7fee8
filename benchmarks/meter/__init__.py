"""What the losses would cost on an accelerator, counted without one: ``make meter``."""
