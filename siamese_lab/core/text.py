"""Text for people: what is printable, the nearest valid name, a value with its unit."""

import difflib
from collections.abc import Iterable, Sequence


def nearest(name: str, names: Iterable[str]) -> str:
    """The hint ": did you mean X?" for the name most like `name`, or "" where none is like it."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else ""


def printable(text: object) -> str:
    """A name as one line that is safe for a terminal: line ends, control characters and the like are escaped.

    Args:
        text: what a file, a server or a config calls something.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def first_few(names: Sequence[str], most: int) -> str:
    """Names as a list that stays short, e.g. "a, b, c and 4 more" for most=3."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def format_value(value: float, unit: str) -> str:
    """A value as text: shares in percent with two decimals."""
    return f"{100 * value:.2f} %" if unit == "share" else f"{value:.4g}"
