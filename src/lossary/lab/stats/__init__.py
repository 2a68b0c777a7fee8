"""Statistics: what a few seeds and one test split can say about losses that share both.

`two_way` measures the error of differences, `corrections` pays for many questions, `sequential` for repeated looks,
`equivalence` decides when two losses are equal, `resplit` what several splits show, `judge` combines them into a
`verdict`, and `words` puts it into sentences.
"""
