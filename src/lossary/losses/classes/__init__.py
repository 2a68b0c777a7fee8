"""One class of several, or shares of them."""
