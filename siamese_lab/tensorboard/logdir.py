"""The folder that TensorBoard reads: one of a readable name for each run, with links to its event files and more."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from siamese_lab.tensorboard import hparams
from siamese_lab.tensorboard.hparams import Value
from siamese_lab.tensorboard.run_names import readable_names
from siamese_lab.tensorboard.run_reader import Points, ShownRun, StudyReader

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

WITH_FIGURES = ("ok", "timeout")  # states of a run that has its figures
AWAY = 2  # refreshes for which what TensorBoard has to read anew is taken away: it then forgets what it had read
PROJECTOR = "projector"
LINKED = ("events.out.tfevents.*", PROJECTOR)
ASSETS = "plugins/org_tensorflow_tensorboard_projector"  # where TensorBoard looks for a run's embeddings
# TensorBoard reads the files of a run in the order of their names; of two summaries with one tag the first one counts
ABOUT, TEST, BEST = (f"events.out.tfevents.{number}.siamese-lab" for number in range(3))


@dataclass
class WrittenRun:
    """What was written of a run.

    Args:
        folder: where it was written.
        state: of the run then.
        files: names of those that are linked.
        best: step of its best figures.
        back: refresh from which it may be shown again; 0 = it is shown.
    """

    folder: Path
    state: str
    files: set[str] = field(default_factory=set)
    best: int = 0
    back: int = 0


class LogDir:
    """The folder that TensorBoard reads, kept up to date.

    Args:
        root: the folder, empty.
        studies: the folders shown; of several each gets a folder of its own.
    """

    def __init__(self, root: Path, studies: Sequence[Path]) -> None:
        self.root, self.readers = root, [StudyReader(study) for study in studies]
        self._names: dict[Path, dict[str, str]] = {study: {} for study in studies}
        self._kept: dict[Path, WrittenRun] = {}
        self._host: Path | None = None  # the run in whose folder the columns are described
        self._columns: Summary | None = None
        self._turn = 0

    def refresh(self) -> int:
        """Brings the folder up to date; returns how many runs it shows."""
        self._turn += 1
        found = [(reader, run) for reader in self.readers for run in reader.runs()]
        for gone in set(self._kept) - {run.folder for _, run in found}:
            self._take_away(gone, back=False)
        self._describe([run for _, run in found])
        for reader in self.readers:
            runs = [run for one, run in found if one is reader]
            names = self._names[reader.study]
            points, own = {r.run_id: r.point or r.values for r in runs}, {r.run_id: r.own for r in runs if r.own}
            names |= readable_names(points, own, names)
            for run in runs:
                self._show(reader, run, names[run.run_id])
        return len(found)

    def _show(self, reader: StudyReader, run: ShownRun, name: str) -> None:
        folder = (self.root / reader.study.name if len(self.readers) > 1 else self.root) / name
        kept = self._kept.setdefault(run.folder, WrittenRun(folder, run.state))
        there = {path.name for pattern in LINKED for path in run.folder.glob(pattern)}
        if not kept.back and (kept.files - there or kept.state != run.state):  # ended, gone on with, or begun anew
            self._take_away(run.folder)
            return
        if kept.back > self._turn:
            return
        kept.state, kept.back = run.state, 0
        if not folder.exists():
            folder.mkdir(parents=True)
            line = folder.relative_to(self.root).as_posix()
            start = hparams.start_summary(self._values(run), line, run.began)
            about = [start, hparams.end_summary(run.state, run.ended)]
            if self._host is None:
                self._host, about = run.folder, [self._columns, *about]
            _put(folder / ABOUT, hparams.event_records(about))
        if run.state in WITH_FIGURES and run.run_id in reader.tested() and not (folder / TEST).exists():
            self._points(folder / TEST, 0, reader.test(run))
        if not any(name.endswith(".board") for name in there):
            step, best = reader.best(run)
            if step > kept.best:
                self._points(folder / f"{BEST}.{step:09d}", step, best)
                kept.best = step
        for name in sorted(there - kept.files):  # last: what stands above counts
            link = folder / (ASSETS if name == PROJECTOR else name)
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to((run.folder / name).resolve(), target_is_directory=name == PROJECTOR)
        kept.files = there

    def _values(self, run: ShownRun) -> dict[str, Value]:
        """The values of a run's columns, with its state, and with its study where several are shown."""
        study: dict[str, Value] = {"study": run.folder.parent.name} if len(self.readers) > 1 else {}
        return {**study, **run.values, "state": run.state}

    def _points(self, path: Path, step: int, points: Points) -> None:
        if points:
            _put(path, hparams.event_records([hparams.scalar_summary(points)], step))

    def _describe(self, runs: Sequence[ShownRun]) -> None:
        """Describes the columns of HPARAMS in the folder of a run: a folder of its own would be listed as a run.

        Where the description has changed, that run is taken away and comes back with the new one.
        """
        axes = ["study"] if len(self.readers) > 1 else []
        axes += dict.fromkeys(axis for reader in self.readers for axis in reader.axes())
        tested = any(reader.tested() for reader in self.readers)
        metrics = hparams.figure_columns([run.headlines for run in runs], tested)
        columns = hparams.experiment_summary([self._values(run) for run in runs], metrics, axes)
        if _without_time(columns) != _without_time(self._columns) and self._host is not None:
            self._take_away(self._host)
        self._columns = columns

    def _take_away(self, run: Path, back: bool = True) -> None:
        """Removes what is shown of a run; it comes `back` when TensorBoard has forgotten what it had read."""
        kept = self._kept.pop(run)
        shutil.rmtree(kept.folder, ignore_errors=True)
        if back:
            self._kept[run] = WrittenRun(kept.folder, kept.state, back=self._turn + AWAY)
        if run == self._host:
            self._host = None


def _without_time(experiment: "Summary | None") -> bytes:
    """The description without the time at which it was written."""
    # here: TensorBoard takes long to import
    from tensorboard.plugins.hparams import metadata

    if experiment is None:
        return b""
    content = metadata.parse_experiment_plugin_data(experiment.value[0].metadata.plugin_data.content)
    content.time_created_secs = 0
    return bytes(content.SerializeToString(deterministic=True))


def _put(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all. It does not wait for the disk, since the next start writes all anew."""
    temporary = path.with_name(f".{path.name.replace('tfevents', 'part')}")
    temporary.write_bytes(content)
    temporary.replace(path)
