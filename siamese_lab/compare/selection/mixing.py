"""Refuses to mix runs of different data, protocols, code or precision in one comparison, unless with --force."""

from collections.abc import Sequence

from siamese_lab.compare.analysis.comparison import Run
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import first_few


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
    checks = [
        _difference(runs, [run.data for run in runs], "they were trained on different data", "fingerprint {}"),
        _protocol_difference(runs),
        _difference(runs, [run.code or "unknown" for run in runs], "they were trained by different code", "code {}"),
    ]
    if not any(key in run.point for run in runs for key in ("trainer.precision", "trainer.accelerator")):
        used = [str(run.decided.get("precision", "unknown")) for run in runs]
        checks.append(_difference(runs, used, "they were trained in different precision", "{}"))
    found = [words for words in checks if words]
    if found and not force:
        reasons = f", for {len(found)} reasons" if len(found) > 1 else ""
        lines = [f"these runs cannot be compared{reasons}:", *(f"  {words}" for words in found)]
        raise LabError("\n".join([*lines, "name runs that agree, or go on with --force"]))
    return [f"forced: {words}" for words in found]


def remarks(runs: Sequence[Run]) -> list[str]:
    """Notes on differences that change results only by rounding."""
    found = []
    for key in ("accelerator", "layout", "threads", "processes"):
        values = sorted({str(run.decided.get(key, "unknown")) for run in runs})
        if len(values) > 1:
            found.append(f"{key} {' and '.join(values)}")
    if not found:
        return []
    return [f"these runs did not all run alike ({'; '.join(found)}): rounding differs, as with another seed"]


def _protocol_difference(runs: Sequence[Run]) -> str:
    for key in dict.fromkeys(key for run in runs for key in run.config if key.startswith("protocol.")):
        values = [run.config.get(key, "absent") for run in runs]
        if words := _difference(runs, values, "they were evaluated by different protocols", f"{key}={{}}"):
            return words
    return ""


def _difference(runs: Sequence[Run], values: Sequence[str], words: str, shown: str) -> str:
    """Says which runs have which of the most frequent values; "" where all have one."""
    names: dict[str, list[str]] = {}
    for run, value in zip(runs, values, strict=True):
        names.setdefault(value, []).append(run.name)
    if len(names) < 2:
        return ""
    by_count = sorted(names.items(), key=lambda item: -len(item[1]))
    parts = [f"{shown.format(value)} ({first_few(some, 3)})" for value, some in by_count[:3]]
    more = f" and {len(by_count) - 3} more" if len(by_count) > 3 else ""
    return f"{words}: {' against '.join(parts)}{more}"
