"""Refuses to mix runs of different data, protocols, code or precision in one comparison, unless with --force."""

from collections.abc import Callable, Sequence

from siamese_lab.compare.analysis.comparison import Run
from siamese_lab.core.errors import LabError


def refuse_mixed(runs: Sequence[Run], force: bool) -> list[str]:
    """Refuses runs that differ in data, protocols, code or precision.

    Args:
        runs: that count.
        force: compare them all the same.

    Returns:
        With `force`, a note on each difference.

    Raises:
        LabError: naming what differs, both values, and which runs.
    """
    found = [words for words in (_data(runs), _protocols(runs), _code(runs), _precision(runs)) if words]
    if found and not force:
        head = (
            "these runs cannot be compared:\n  "
            if len(found) == 1
            else f"these runs cannot be compared, for {len(found)} reasons:\n  "
        )
        raise LabError(head + "\n  ".join(found) + "\nname runs that agree, or go on with --force")
    return [f"forced: {words}" for words in found]


def remarks(runs: Sequence[Run]) -> list[str]:
    """Notes on differences that change results only by rounding."""
    made = []
    for key in ("accelerator", "layout", "threads", "processes"):
        values = sorted({str(run.decided.get(key, "unknown")) for run in runs})
        if len(values) > 1:
            made.append(f"{key} {' and '.join(values)}")
    return (
        [f"these runs did not all run alike ({'; '.join(made)}): rounding differs, as with another seed"]
        if made
        else []
    )


def _data(runs: Sequence[Run]) -> str:
    return _two(runs, lambda run: run.data, "they were trained on different data", "fingerprint {}")


def _protocols(runs: Sequence[Run]) -> str:
    first = _protocol(runs[0])
    for run in runs:
        other = _protocol(run)
        if other != first:
            return _setting(runs, next(key for key in {**first, **other} if first.get(key) != other.get(key)))
    return ""


def _setting(runs: Sequence[Run], key: str) -> str:
    return _two(
        runs, lambda run: run.config.get(key, "absent"), "they were evaluated by different protocols", f"{key}={{}}"
    )


def _protocol(run: Run) -> dict[str, str]:
    return {key: value for key, value in run.config.items() if key.startswith("protocol.")}


def _code(runs: Sequence[Run]) -> str:
    return _two(runs, lambda run: run.code or "unknown", "they were trained by different code", "code {}")


def _precision(runs: Sequence[Run]) -> str:
    keys = ("trainer.precision", "trainer.accelerator")
    if any(key in run.point for run in runs for key in keys):  # it is what is compared
        return ""
    return _two(
        runs, lambda run: str(run.decided.get("precision", "unknown")), "they were trained in different precision", "{}"
    )


def _two(runs: Sequence[Run], of: Callable[[Run], str], words: str, shown: str) -> str:
    """The first two values that differ with a run of each, or ""."""
    groups = {value: [run for run in runs if of(run) == value] for value in dict.fromkeys(map(of, runs))}
    if len(groups) < 2:
        return ""
    some = sorted(groups.items(), key=lambda item: -len(item[1]))
    parts = [f"{shown.format(value)} ({_listed(members)})" for value, members in some[:3]]
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return f"{words}: {' against '.join(parts)}{more}"


def _listed(runs: Sequence[Run]) -> str:
    names = ", ".join(run.name for run in runs[:3])
    return f"{names} and {len(runs) - 3} more" if len(runs) > 3 else names
