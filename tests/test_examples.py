"""Every public option has a runnable example in its docstring, and so have the structures that are given to it."""

import doctest
from importlib.util import find_spec

import pytest

from siamese_lab.config.instantiate import resolve_target
from siamese_lab.structures import embedded, embedded_set, samples, tuples
from tests.test_rooms import OPTIONS, targets

STRUCTURES = [
    embedded.Embedded,
    embedded_set.EmbeddedSet,
    samples.Samples,
    tuples.Pairs,
    tuples.Triplets,
    tuples.as_pairs,
    tuples.as_triplets,
]
PACKAGE_OF = {"launcher=slurm": "submitit"}
"""The package of an extra that the example of an option needs."""

GROUPS = [*OPTIONS.values(), "search"]
TARGETS = {f"{group}={option}": target for group in GROUPS for option, target in targets(group).items()}


def failures(thing: object) -> tuple[int, list[str]]:
    """How many examples its own docstring has, and what those that fail printed; nothing is imported for them."""
    name = thing.__qualname__
    found = doctest.DocTestParser().get_doctest(thing.__doc__ or "", {}, name, None, None)
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(found, out=said.append)
    return len(found.examples), said


@pytest.mark.parametrize("option", TARGETS)
def test_every_option_has_an_example_that_prints_what_it_says(option: str) -> None:
    if (package := PACKAGE_OF.get(option)) and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    count, said = failures(resolve_target(TARGETS[option]))
    assert count, f"{TARGETS[option]} has no `>>>` example in its docstring"
    assert not said, "".join(said)


@pytest.mark.parametrize("thing", STRUCTURES, ids=lambda thing: thing.__name__)
def test_every_structure_has_an_example_that_prints_what_it_says(thing: object) -> None:
    count, said = failures(thing)
    assert count
    assert not said, "".join(said)


def test_an_example_that_is_wrong_fails() -> None:
    def wrong() -> None:
        """
        >>> 1 + 1
        3
        """

    assert failures(wrong)[1]
