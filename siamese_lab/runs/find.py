"""Finds a run by what a user types."""

from contextlib import suppress
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.listing import all_run_folders, is_run


def find_run(name: str) -> RunFolder:
    """Finds a run by its folder, by study/id, or by its run id or the beginning of it under `outputs()`.

    Raises:
        LabError: if there is none, or several match.
    """
    with suppress(OSError):  # the name is too long for a path
        if is_run(Path(name)):
            return RunFolder(Path(name).resolve())
        if name and is_run(outputs() / name):
            return RunFolder(outputs() / name)
    everything = sorted(all_run_folders(), key=_time_written, reverse=True)
    found = [path for path in everything if name and path.name.startswith(name)]
    if len(found) == 1:
        return RunFolder(found[0])
    if found:
        raise LabError(
            f"{len(found)} runs begin with {name}: {', '.join(map(str, found[:5]))}: write more of the run id, or the "
            "folder"
        )
    latest = f"; the latest: {', '.join(map(str, everything[:3]))}" if everything else ", which holds no run yet"
    raise LabError(
        f"no run {name or repr(name)}: it must be a run folder, or the beginning of a run id under {outputs()}{latest}"
    )


def _time_written(run: Path) -> float:
    try:
        return (run / "run.json").stat().st_mtime
    except OSError:  # another process has removed it meanwhile
        return 0.0
