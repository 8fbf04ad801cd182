from siamese_lab.core.dotted import all_keys, flatten, has_key, remove_key, value_at

NESTED = {"seed": None, "loss": {"_target_": "a.B", "margin": 0.2, "of": [{"p": 1}, 2]}, "memory": {}}


def test_flatten():
    assert flatten(NESTED) == {
        "seed": None,
        "loss._target_": "a.B",
        "loss.margin": 0.2,
        "loss.of": [{"p": 1}, 2],
        "memory": {},
    }
    assert flatten(NESTED, without="_target_") == {"seed": None, "loss": NESTED["loss"], "memory": {}}
    assert flatten({"_target_": "a.B", "x": {"y": 1}}, without="_target_") == {"x.y": 1}


def test_all_keys():
    assert all_keys(NESTED, without="_target_") == ["seed", "loss", "memory", "loss.margin", "loss.of"]


def test_keys_are_found_and_removed():
    assert has_key(NESTED, "seed")
    assert has_key(NESTED, "loss.of.0.p")
    assert not has_key(NESTED, "loss.of.2")
    assert not has_key(NESTED, "loss.margin.x")
    assert (value_at(NESTED, "loss.of.1"), value_at(NESTED, "seed", 3), value_at(NESTED, "none", 3)) == (2, None, 3)
    copy = {"a": {"b": 1, "c": 2}, "d": 3}
    for key in ("a.b", "d", "a.x", "x.y"):
        remove_key(copy, key)
    assert copy == {"a": {"c": 2}}
