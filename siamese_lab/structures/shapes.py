"""Checks what tensors a structure is made of, once, where it is made; no value is looked at, so that no GPU waits."""

from torch import Tensor


def check_integers(name: str, values: Tensor, rows: int | None = None, what: str = "one for each row of z") -> None:
    """Refuses what is not a vector of integers.

    Args:
        name: of the argument, for the message.
        values: that should be (rows,) integers.
        rows: their number; None = any.
        what: what the number is, for the message.

    Raises:
        ValueError: with the shape and type that came.
    """
    fits = values.ndim == 1 and not values.dtype.is_floating_point and not values.dtype.is_complex
    if not fits or (rows is not None and len(values) != rows):
        wanted = "a vector of integers" if rows is None else f"{rows} integers, {what}"
        raise ValueError(f"{name} must be {wanted}, got {described(values)}")


def check_embeddings(values: Tensor, name: str = "z") -> None:
    """Refuses what is not a matrix of floats, one embedding a row.

    Raises:
        ValueError: with the shape and type that came.
    """
    if values.ndim != 2 or not values.dtype.is_floating_point:
        raise ValueError(f"{name} must be floats of shape (rows, dimensions), got {described(values)}")


def described(values: Tensor) -> str:
    """A tensor in a message: "float32 of shape (5, 1)"."""
    return f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}"
