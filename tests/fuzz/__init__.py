"""Random nasty calls of every loss, each held against the same call in float64: see docs/fuzzing.md."""
