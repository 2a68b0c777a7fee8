"""One class of several, or probabilities over them."""
