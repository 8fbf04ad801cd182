"""Checks of constructor arguments. A message starts with the parameter's name, which leads to the key of the config."""


def require_positive(name: str, value: float, meaning: str) -> None:
    """Raises a ValueError unless value > 0. NaN is refused, here and below."""
    if not value > 0:
        raise ValueError(f"{name} must be > 0, got {value}: {meaning}")


def require_at_least(name: str, value: float, low: float, meaning: str) -> None:
    """Raises a ValueError unless value >= low."""
    if not value >= low:
        raise ValueError(f"{name} must be >= {low}, got {value}: {meaning}")


def require_within(name: str, value: float, interval: str, meaning: str) -> None:
    """Raises a ValueError unless the value lies in an interval such as "(0, 1]"."""
    low, high = map(float, interval[1:-1].split(","))
    above = value > low if interval[0] == "(" else value >= low
    below = value < high if interval[-1] == ")" else value <= high
    if not (above and below):
        raise ValueError(f"{name} must lie in {interval}, got {value}: {meaning}")


def require_choice(name: str, value: str, choices: tuple[str, ...], meaning: str = "") -> None:
    """Raises a ValueError unless the value is one of the choices."""
    if value not in choices:
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ValueError(f"{name} must be {listed}, got {value!r}" + (f": {meaning}" if meaning else ""))
