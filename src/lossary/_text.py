"""Text that came with data, made fit to show."""


def printable(text: str) -> str:
    r"""Control characters as escapes: a name may not move the cursor, and an error stays one line.

    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, most: int = 1000) -> str:
    """Without its middle where it is longer: a line that names 20,000 columns is read by nobody.

    >>> shortened("a" * 30 + "b" * 30, 21)
    'aaaaaaaa ... bbbbbbbb'
    """
    half = (most - 5) // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"
