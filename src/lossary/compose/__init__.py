"""What is made of losses, or stands beside them: sums, linear heads, regularisers, weights, activations."""
