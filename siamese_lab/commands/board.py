"""`siamese-lab board`: TensorBoard of one study or of all, with readable names of runs."""

import logging
import tempfile
from pathlib import Path

from siamese_lab.core.errors import LabError
from siamese_lab.core.paths import outputs
from siamese_lab.core.text import first_few
from siamese_lab.runs.listing import all_run_folders, is_study, planned_studies, run_folders
from siamese_lab.tensorboard.logdir import LogDir
from siamese_lab.tensorboard.server import REFRESH, check_port, start_server, stop_event

log = logging.getLogger(__name__)

UPDATE = REFRESH + 1.0  # seconds between two updates of the view: what one removes is gone when TensorBoard looks


def command(study: str | None, host: str = "localhost", port: int = 6006) -> int:
    """Serves until Ctrl-C, or until it is told to end.

    Args:
        study: a name or a folder; None = all studies.
        host: to listen on.
        port: 0 = any free one.

    Raises:
        LabError: if there is nothing to show, or the port is taken.
    """
    folders = study_folders(study)
    check_port(host, port)
    with (
        tempfile.TemporaryDirectory(prefix="siamese-lab-board-", ignore_cleanup_errors=True) as scratch,
        stop_event() as end,
    ):
        view = LogDir(Path(scratch), folders)
        shown = view.refresh()
        address = start_server(Path(scratch), host, port)
        what = f"the study {folders[0].name}" if len(folders) == 1 else f"{len(folders)} studies"
        runs = f"{shown:,} {'run' if shown == 1 else 'runs'}"
        print(f"TensorBoard shows {what}, {runs}, at {address}\nCtrl-C ends it", flush=True)
        failed = ""
        while not end.wait(UPDATE):
            try:
                view.refresh()
            except (OSError, LabError) as error:  # a full disk, a study that is being moved: what was shown stays
                if str(error) != failed:
                    log.warning("new runs are not shown: %s", error)
                failed = str(error)
    return 0


def study_folders(study: str | None) -> list[Path]:
    """The folders to show.

    Raises:
        LabError: if there is no such study, or no run at all.
    """
    known = sorted({*(path.parent for path in all_run_folders()), *planned_studies()})
    if study is None:
        if not known:
            raise LabError(f"{outputs()} holds no run yet: `siamese-lab train` makes one")
        return known
    for path in (Path(study), outputs() / study):
        if study and (is_study(path) or run_folders(path)):
            return [path.resolve()]
    names = first_few([path.name for path in known], 10) or "none"
    raise LabError(f"no study {study or repr(study)} with runs: there are {names} under {outputs()}")
