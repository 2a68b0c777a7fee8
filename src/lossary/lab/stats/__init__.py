"""Statistics: what a few seeds and one test split can say of losses that share both.

`two_way` measures the error of differences, `corrections` pays for asking often, `sequential` for looking often,
`equivalence` says when two losses are equal, `resplit` what several splits tell, `judge` puts them together into a
`verdict`, and `words` says it.
"""
