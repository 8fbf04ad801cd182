"""`siamese-lab verify`: do two images show the same identity?"""

from collections.abc import Sequence
from pathlib import Path

import torch

from siamese_lab.config.compose import EVALUATED, read_config
from siamese_lab.config.instantiate import build
from siamese_lab.config.trust import allowed_packages
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.data.images import BrokenImageError, Fit
from siamese_lab.data.source import file_source
from siamese_lab.model.build_twin import load_twin
from siamese_lab.runs.find import find_run


def command(run: str, left: Path, right: Path, trust: Sequence[str] = ()) -> int:
    """Prints the distance of two images, the threshold that the run chose on validation, and the answer.

    Args:
        run: folder or beginning of a run id.
        left: an image file.
        right: another one.
        trust: packages whose code the run's config may build from, beside those of SIAMESE_LAB_TRUST.

    Raises:
        LabError: if there is no such run, it chose no threshold, or an image cannot be read.
    """
    allowed = allowed_packages(trust)
    folder = find_run(run)
    # first: says what is wrong with a run of another version
    chosen = folder.metrics()["chosen"].get("verification", {})
    cfg = read_config(folder.path / "config.yaml", EVALUATED - {"protocol"}, allowed)
    if "threshold" not in chosen:
        raise LabError(f"{folder.path} chose no threshold: train with protocol=[verification] and a validation part")
    reader: Fit = build(cfg.data, trust=allowed).fit
    x = torch.cat([read_image(path, reader, folder.info()["network"]["shape"]) for path in (left, right)])
    twin = load_twin(folder, cfg, trust=allowed)
    a, b = twin.embed(x)
    with torch.no_grad():
        distance = float(twin.distance.pairwise(a[None], b[None]))
    threshold = chosen["threshold"]
    print(f"distance {distance:.4f}, threshold {threshold:.4f}: {'same' if distance <= threshold else 'different'}")
    return 0


def read_image(path: Path, reader: Fit, shape: Sequence[int]) -> torch.Tensor:
    """Reads an image file as the run's data set reads its own: uint8 (1, C, H, W).

    Args:
        path: of the file.
        reader: of the run's data set.
        shape: (C, H, W) that the network was trained on.

    Raises:
        LabError: naming the file and what is wrong with it.
    """
    try:
        image = torch.from_numpy(reader(file_source(path, path.name).read()))
    except BrokenImageError as error:
        raise LabError(f"{printable(path)}: {error}; give another image") from error
    except OSError as error:
        raise LabError(f"cannot read {printable(path)}: {error.strerror}; give another image") from error
    wanted, came = list(shape), list(image.shape)
    if came != wanted:  # a run with data.size=null takes images as they are
        raise LabError(f"the network was trained on images of {wanted}, {path} is {came} (channels, height, width)")
    return image[None]
