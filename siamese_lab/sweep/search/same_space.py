"""Whether a search goes on in the space that its trials were drawn from."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from siamese_lab.core.errors import LabError

if TYPE_CHECKING:
    from optuna import Study

    from siamese_lab.sweep.search.space import Space


def refuse_other(study: "Study", space: "Space", fixed: Sequence[str]) -> None:
    """Raises a LabError if a study's trials were drawn from another space, or with other fixed overrides; notes both in
    a new one.
    """
    from siamese_lab.sweep.search.storage import ANEW

    aside = ("search", "launcher", "study", "name")
    kept = sorted(word for word in fixed if word.partition("=")[0].split(".")[0] not in aside)
    now = json.loads(json.dumps({"axes": space.described(), "fixed": kept}))
    before = study.user_attrs.get("drawn from")
    if before is None or not study.get_trials(deepcopy=False):  # of a search that was refused
        study.set_user_attr("drawn from", now)
        return
    told = []
    for key in sorted(before["axes"].keys() | now["axes"].keys()):
        old, new = before["axes"].get(key), now["axes"].get(key)
        if old != new:
            told.append(f"{key} was {_shown(old)} and is {_shown(new)}")
    if set(before["fixed"]) != set(now["fixed"]):
        told.append(
            f"the fixed overrides were {' '.join(before['fixed']) or 'none'} and are {' '.join(now['fixed']) or 'none'}"
        )
    if told:
        raise LabError(f"the trials of {study.study_name} were drawn from another space: {'; '.join(told)}: {ANEW}")


def _shown(axis: dict[str, Any] | None) -> str:
    if axis is None:
        return "no axis"
    if "names" in axis:
        return ",".join(axis["names"])
    kinds = [name for name in ("log", "whole") if axis[name]]
    step = f" in steps of {axis['step']:g}" if axis["step"] is not None else ""
    return " ".join([f"{axis['low']:g} to {axis['high']:g}{step}", *(f"({kind})" for kind in kinds)])
