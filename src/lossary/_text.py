"""Text that came with data, made fit to show."""


def printable(text: str) -> str:
    r"""Control characters as escapes: a name may not move the cursor, and an error stays one line.

    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
