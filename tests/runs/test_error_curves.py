"""The error curves that a run keeps."""

import numpy as np
import pytest

from siamese_lab.core.errors import LabError
from siamese_lab.runs.error_curves import FIELDS, POINTS, curves_file, read_curves, subsample_curve, write_curves


def test_a_curve_is_thinned_written_and_read(tmp_path):
    threshold = np.linspace(0, 2, 2000)
    far, tar = threshold / 2, np.sqrt(threshold / 2)
    curve = subsample_curve(threshold, far, tar, 1000, 50)
    assert len(curve.far) == POINTS
    path = curves_file(tmp_path, "val")
    write_curves(path, {"verification": curve})
    assert path.name == "curves_val.npz"
    found = read_curves(path, "verification")
    assert (found.different_total, found.same_total) == (1000, 50)
    for field in FIELDS:
        assert np.array_equal(getattr(found, field), getattr(curve, field))
    assert found.frr[0] == 1
    assert found.frr[-1] == 0
    assert np.allclose(np.interp(0.3, found.far, found.frr), 1 - np.sqrt(0.3), atol=1e-4)
    assert read_curves(path, "other") is None


def test_few_points_are_kept_as_they_are():
    curve = subsample_curve([0.0, 1.0], [0.0, 1.0], [0.5, 1.0], 3, 2)
    assert curve.frr.tolist() == [0.5, 0.0]


def test_no_curves(tmp_path):
    write_curves(curves_file(tmp_path, "val"), {})
    assert read_curves(curves_file(tmp_path, "val"), "verification") is None


def test_bad_files(tmp_path):
    path = curves_file(tmp_path, "val")
    with pytest.raises(LabError, match="missing"):
        read_curves(path, "verification")
    path.write_bytes(b"PK\x03\x04 half")
    with pytest.raises(LabError, match="broken"):
        read_curves(path, "verification")
    for bad in (np.array([np.nan, 1.0]), np.zeros((2, 2)), np.array(["a", "b"])):
        totals = np.array([1.0, 1.0])
        np.savez(
            path, **{f"v@{field}": np.zeros(2) for field in ("threshold", "frr")}, **{"v@far": bad, "v@totals": totals}
        )
        with pytest.raises(LabError, match="broken"):
            read_curves(path, "v")
