"""The folder that TensorBoard is given: for each run one of a readable name, with links to its event files and with what they lack."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from siamese_lab import board_hparams
from siamese_lab.board_hparams import COLUMNS, Value
from siamese_lab.board_names import named
from siamese_lab.board_runs import Points, Reader, Shown

JUDGED = ("ok", "timeout")  # states of a run that has its figures
AWAY = 2  # refreshes for which something is taken away that TensorBoard has to read anew: it then forgets what it had read
LINKED = ("events.out.tfevents.*", "projector_config.pbtxt", "projector")
# TensorBoard reads the files of a run in the order of their names, and of two summaries with one tag the first one counts
ABOUT, TEST, BEST = (f"events.out.tfevents.{number}.siamese-lab" for number in range(3))


@dataclass
class Kept:
    """What was written of a run: the `files` linked, its `state` then, and the step of its `best` figures. `back` is the refresh at which
    it may come back; 0 = it is there."""

    state: str
    files: set[str] = field(default_factory=set)
    best: int = 0
    back: int = 0


class View:
    """Keeps the folder up to date.

    Args:
        root: the folder, empty.
        studies: the folders shown; of several each gets a folder of its own.
    """

    def __init__(self, root: Path, studies: Sequence[Path]) -> None:
        self.root, self.readers = root, [Reader(study) for study in studies]
        self.names: dict[Path, dict[str, str]] = {study: {} for study in studies}
        self._kept: dict[Path, Kept] = {}
        self._columns, self._back, self._turn = b"", 0, 0

    def refresh(self) -> int:
        """Brings the folder up to date; returns how many runs it shows."""
        self._turn += 1
        everything: list[Shown] = []
        several = len(self.readers) > 1
        for reader in self.readers:
            runs = reader.runs()
            names = self.names[reader.study]
            names |= named({r.run_id: r.point or r.values for r in runs}, {r.run_id: r.own for r in runs if r.own}, names)
            for run in runs:
                folder = (self.root / reader.study.name if several else self.root) / names[run.run_id]
                self._show(reader, run, folder, _values(run, several))
            everything += runs
        self._head(everything, several)
        return len(everything)

    def _show(self, reader: Reader, run: Shown, folder: Path, values: Mapping[str, Value]) -> None:
        kept = self._kept.setdefault(run.folder, Kept(run.state))
        there = {path.name for pattern in LINKED for path in run.folder.glob(pattern)}
        if not kept.back and (kept.files - there or kept.state != run.state):  # ended, gone on with, or begun anew
            shutil.rmtree(folder, ignore_errors=True)
            self._kept[run.folder] = Kept(run.state, back=self._turn + AWAY)
            return
        if kept.back > self._turn:
            return
        kept.state, kept.back = run.state, 0
        if not folder.exists():
            folder.mkdir(parents=True)
            about = [board_hparams.started(values, _line(self.root, folder), run.began), board_hparams.ended(run.state, run.ended)]
            _put(folder / ABOUT, board_hparams.records(about))
            self._points(folder / TEST, 0, reader.test(run) if run.state in JUDGED else {})
        if not any(name.endswith(".board") for name in there):
            step, best = reader.best(run)
            if step > kept.best:
                self._points(folder / f"{BEST}.{step:09d}", step, best)
                kept.best = step
        for name in sorted(there - kept.files):  # last: what stands above counts
            (folder / name).symlink_to((run.folder / name).resolve(), target_is_directory=name == "projector")
        kept.files = there

    def _points(self, path: Path, step: int, points: Points) -> None:
        if points:
            _put(path, board_hparams.records([board_hparams.scalars(points)], step))

    def _head(self, runs: Sequence[Shown], several: bool) -> None:
        """The columns of HPARAMS, one description for all that is shown."""
        axes = [*(["study"] if several else []), *(axis for reader in self.readers for axis in reader.axes())]
        values = [_values(run, several) for run in runs]
        tested = any(reader.tested() for reader in self.readers)
        metrics = board_hparams.metrics([run.headlines for run in runs], tested)
        made = board_hparams.experiment(values, metrics, axes)
        mark, path = _mark(made), self.root / COLUMNS
        if mark == self._columns or self._back > self._turn:
            return
        if path.exists():
            path.unlink()
            self._back = self._turn + AWAY
            return
        _put(path, board_hparams.records([made]))
        self._columns = mark


def _values(run: Shown, several: bool) -> dict[str, Value]:
    """What stands in the columns of a run: also how it ended, and where several studies are shown, which one it belongs to."""
    return {**({"study": run.folder.parent.name} if several else {}), **run.values, "state": run.state}


def _mark(experiment: object) -> bytes:
    """The description without the time at which it was made."""
    from tensorboard.plugins.hparams import metadata

    content = metadata.parse_experiment_plugin_data(experiment.value[0].metadata.plugin_data.content)  # type: ignore[attr-defined]
    content.time_created_secs = 0
    return bytes(content.SerializeToString(deterministic=True))


def _line(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all, so that TensorBoard meets no part. Without waiting for the disk: the next start makes it all anew."""
    temporary = path.with_name(f".{path.name.replace('tfevents', 'part')}")
    temporary.write_bytes(content)
    temporary.replace(path)
