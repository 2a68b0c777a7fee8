"""What is built from losses or used with them: sums, linear heads, regularisers, weights, activations."""
