"""Augmentation: every option of conf/augment, and where pixels go."""

import math

import pytest
import torch

from siamese_lab.augment.affine import Affine
from siamese_lab.augment.none import Unchanged
from siamese_lab.config.groups import option_names
from siamese_lab.core.random import Stream, generator
from siamese_lab.structures.parameters import repeat_row, take_rows

OFF = {"rotate": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0, "p": 1.0}
ANGLE, SHEAR, SCALE, SHIFT = 0, 1, 3, 5  # columns of the numbers that _maps takes; from shear on in pairs, x and y


@pytest.fixture(params=option_names("augment"))
def augment(request, make):
    return make("augment", request.param)


def images(n, size=12, dtype=torch.float32):
    return torch.rand(n, 2, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def extreme(x, column, value=1.0, **options):
    """The images seen through one component at its full strength."""
    u = torch.zeros(len(x), 7)
    u[:, column] = value
    affine = Affine(**{**OFF, **options})
    return affine.apply(x, {"maps": affine._maps(u)})


# what holds for every augmentation


def test_same_seed_same_pixels(augment):
    x, state = images(5), torch.get_rng_state()
    made = augment.apply(x, augment.draw(5, seeded(3)))
    assert made.shape == x.shape
    assert torch.equal(made, augment.apply(x, augment.draw(5, seeded(3))))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(len(values) == 5 for values in augment.draw(5, seeded()).values())


def test_an_image_does_not_depend_on_its_batch(augment):
    maps = augment.draw(6, seeded())
    whole = augment.apply(images(6), maps)
    torch.testing.assert_close(
        augment.apply(images(6)[2:4], take_rows(maps, slice(2, 4))), whole[2:4]
    )  # what a rank does with its slice


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_view_is_the_image_itself(augment, dtype):
    x = images(3, dtype=dtype)
    assert all(len(values) == 4 for values in augment.views(4).values())
    seen = augment.apply(x, repeat_row(augment.views(1), 0, 3))
    assert seen.dtype == dtype
    torch.testing.assert_close(seen, x, atol=1e-6, rtol=0)
    for name, values in augment.views(4).items():
        assert torch.equal(values, augment.views(4)[name])
        assert torch.equal(values[:2], augment.views(2)[name])


# affine


def test_each_image_has_a_transform_of_its_own():
    maps = Affine(p=1.0).draw(200, seeded())["maps"]
    assert len(maps.unique(dim=0)) == 200
    same = images(1).repeat(20, 1, 1, 1)
    assert len(Affine(p=1.0).apply(same, {"maps": maps[:20]}).unique(dim=0)) == 20
    assert not torch.equal(Affine().draw(9, seeded(0))["maps"], Affine().draw(9, seeded(1))["maps"])
    assert len(Affine().views(9)["maps"].unique(dim=0)) == 9


@pytest.mark.parametrize("options", [OFF, {"p": 0.0, "rotate": 90.0}])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_zero_strength_is_the_identity(options, dtype, atol):
    x, affine = images(8, size=28, dtype=dtype), Affine(**options)
    torch.testing.assert_close(affine.apply(x, affine.draw(8, seeded())), x, atol=atol, rtol=0)


@pytest.mark.parametrize("size", [8, 9])
def test_a_quarter_turn_is_one(size):
    x = images(2, size)
    torch.testing.assert_close(extreme(x, ANGLE, rotate=90.0), torch.rot90(x, 1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(extreme(x, ANGLE, rotate=180.0), x.flip(2, 3), atol=1e-5, rtol=0)


def test_a_shift_moves_pixels_by_a_share_of_the_side():
    x = images(2, size=8)
    right = torch.zeros_like(x)
    right[..., 2:] = x[..., :-2]
    torch.testing.assert_close(extreme(x, SHIFT, -1.0, shift=0.25), right, atol=1e-5, rtol=0)
    up = torch.zeros_like(x)
    up[..., :-2, :] = x[..., 2:, :]
    torch.testing.assert_close(extreme(x, SHIFT + 1, 1.0, shift=0.25), up, atol=1e-5, rtol=0)


def test_a_scale_changes_the_size_along_its_axis():
    x = torch.ones(1, 1, 16, 16)
    narrow = extreme(x, SCALE, -1.0, scale=0.5)
    assert narrow[0, 0, 8].tolist() == pytest.approx([0] * 4 + [1] * 8 + [0] * 4, abs=1e-5)
    assert extreme(x, SCALE + 1, -1.0, scale=0.5)[0, 0, :, 8].tolist() == pytest.approx(
        [0] * 4 + [1] * 8 + [0] * 4, abs=1e-5
    )
    x = torch.zeros(1, 1, 16, 16)
    x[..., 6:10, 6:10] = 1.0
    assert float(extreme(x, SCALE, 1.0, scale=0.5).sum()) == pytest.approx(1.5 * 16, rel=0.05)


def test_a_shear_moves_rows_against_each_other():
    x = torch.zeros(1, 1, 17, 17)
    x[..., 8] = 1.0  # an upright stroke
    leaning = extreme(x, SHEAR, shear=0.5)[0, 0]
    assert leaning[[4, 8, 12]].argmax(1).tolist() == [10, 8, 6]


def test_components_stay_in_their_range_and_are_kept_with_their_chance():
    affine = Affine(**{**OFF, "rotate": 20.0, "p": 0.3})
    maps = affine.draw(4000, seeded())["maps"]
    angle = torch.atan2(maps[:, 1, 0], maps[:, 0, 0]).rad2deg()
    kept = angle != 0
    assert float(kept.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert 19 < float(angle.abs().max()) <= 20.001
    assert float(angle[kept].mean()) == pytest.approx(0, abs=1.5)
    shifts = Affine(**{**OFF, "shift": 0.1}).draw(4000, seeded())["maps"][:, :, 2]
    assert 0.19 < float(shifts.abs().max()) <= 0.2  # of a side that is 2 long
    assert float(torch.corrcoef(shifts.T)[0, 1]) == pytest.approx(0, abs=0.06)


def test_each_component_is_kept_or_left_on_its_own():
    maps = Affine(rotate=10.0, shear=0.3, scale=0.2, shift=0.1, p=0.5).draw(4000, seeded())["maps"]
    untouched = (maps == torch.eye(2, 3)).flatten(1).all(1)
    assert float(untouched.float().mean()) == pytest.approx(0.5**4, abs=0.012)
    sheared = Affine(**{**OFF, "shear": 0.3, "p": 0.5}).draw(1000, seeded())["maps"]
    assert torch.equal(sheared[:, 0, 1] != 0, sheared[:, 1, 0] != 0)  # x and y are one component


def test_views_are_of_half_the_strength():
    views = Affine(**{**OFF, "rotate": 40.0}).views(500)["maps"]
    assert 18 < float(torch.atan2(views[:, 1, 0], views[:, 0, 0]).rad2deg().abs().max()) <= 20.001


@pytest.mark.parametrize(
    "values",
    [{"rotate": -1.0}, {"rotate": 181.0}, {"shear": 1.0}, {"scale": 1.0}, {"shift": -0.1}, {"p": 1.1}, {"p": math.nan}],
)
def test_bad_ranges_are_refused(values):
    with pytest.raises(ValueError, match=f"^{next(iter(values))} must lie in"):
        Affine(**values)


def test_unchanged_is_unchanged():
    x = images(3)
    assert Unchanged().apply(x, Unchanged().draw(3, seeded())) is x


# of Affine(), recorded before an augmentation named its parameters
DRAWN = [
    "0x1.31eb1c0000000p+0 0x0.0p+0 -0x1.14e5c40000000p-5",
    "0x0.0p+0 0x1.d491280000000p-1 -0x1.90c75c0000000p-7",
    "0x1.0001860000000p+0 0x1.43be8e0000000p-4 -0x1.e9c6f60000000p-7",
    "-0x1.c9a9940000000p-6 0x1.e1c8040000000p-1 -0x1.21ef0a0000000p-7",
]
SECOND_VIEW = [
    "0x1.fae0e40000000p-1 0x1.f9f21c0000000p-4 0x1.0c51480000000p-10",
    "0x1.7424c00000000p-5 0x1.d1a9ec0000000p-1 -0x1.78ca7a0000000p-8",
]


def bits(rows):
    return [" ".join(x.hex() for x in row.tolist()) for row in rows.reshape(-1, 3)]


def test_the_numbers_drawn_are_those_of_earlier_runs_to_the_last_bit():
    assert bits(Affine().draw(2, generator(3, Stream.AUGMENT, 0, 5))["maps"]) == DRAWN
    assert bits(Affine().views(2)["maps"][1]) == SECOND_VIEW
