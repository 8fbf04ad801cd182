"""Names of runs in TensorBoard: short, unique, fit for a folder, made of the values in which the runs differ."""

import re
from collections import Counter
from collections.abc import Mapping

LONGEST = 100  # bytes of a name; folders take 255 on most disks, and the page shows some 30 letters
LONGEST_VALUE = 40  # letters


def readable_names(
    runs: Mapping[str, Mapping[str, object]], own: Mapping[str, str], taken: Mapping[str, str]
) -> dict[str, str]:
    """A name for each run.

    Args:
        runs: {run id: what is known of it}, e.g. its axes and their values; those that all have alike are not named.
        own: {run id: the name that its user gave it}, where one was given. It stands first.
        taken: names that were given before and stay, by run id.

    Returns:
        {run id: e.g. "loss=triplet margin=0.5 seed=1"}; the beginning of the run id is added where that does not tell
        runs apart.
    """
    keys = list(dict.fromkeys(key for values in runs.values() for key in values))
    differing = [key for key in keys if len({str(values.get(key)) for values in runs.values()}) > 1] or keys[:3]
    last = Counter(key.rpartition(".")[2] for key in differing)
    short = {key: key.rpartition(".")[2] if last[key.rpartition(".")[2]] == 1 else key for key in differing}
    givens = Counter(own.values())
    wished = {}
    for run_id, values in runs.items():
        words = [f"{short[key]}={str(values[key])[:LONGEST_VALUE]}" for key in differing if key in values]
        given = own.get(run_id)
        if given is not None and givens[given] == 1:
            words = [given]
        elif given is not None:
            words = [given, *words]
        wished[run_id] = _fit(words) or run_id
    times = Counter(name.casefold() for name in wished.values())  # some disks do not tell A from a
    used = {name.casefold() for name in taken.values()}
    made = {}
    for run_id, name in wished.items():
        alone = times[name.casefold()] == 1 and name.casefold() not in used
        made[run_id] = taken.get(run_id) or (name if alone else f"{name} {run_id}")
    return made


def _fit(words: list[str]) -> str:
    """As many words as there is room for, without letters that file names or TensorBoard's filters do not allow."""
    name = ""
    for word in words:
        clean = re.sub(r"[^\w=.,+@-]+", "_", word.replace("[", "").replace("]", "").replace(" ", "")).strip("_")
        longer = f"{name} {clean}".strip()
        if len(longer.encode()) > LONGEST:
            return name or clean.encode()[:LONGEST].decode(errors="ignore")
        name = longer
    return name.lstrip(".")
