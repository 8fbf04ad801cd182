"""The table of random streams, and what it draws."""

from siamese_lab.core.random import Stream, generator

RECORDED = 8117550358887080200  # before there was a table


def test_every_stream_keeps_its_number():
    assert [stream.value for stream in Stream] == [*range(17), 100, 101, 102, 200, 201]


def test_a_stream_is_the_number_it_stands_for():
    assert generator(7, Stream.AUGMENT, 1).initial_seed() == generator(7, 100, 1).initial_seed()
    assert generator(7, 100, 1).initial_seed() == RECORDED


def test_each_number_of_where_gives_another_stream():
    seeds = {generator(*where).initial_seed() for where in ((1,), (2,), (1, 2), (2, 1), (1, 2, 3))}
    assert len(seeds) == 5
