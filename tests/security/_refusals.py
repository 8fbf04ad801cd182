"""How a command has to refuse what it cannot do: its exit code, one message, and nothing written."""

from siamese_lab.cli import main


def tree(folder):
    """All that lies under a folder: names, kinds, contents."""
    return {
        str(path): path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(".lock")  # an empty file beside the runs
    }


def refused(capsys, folder, words, *said, code=2):
    """The message with which `siamese-lab WORDS` ends; nothing under `folder` may have changed.

    Args:
        capsys: pytest's.
        folder: of the outputs.
        words: the command line.
        said: what the message has to hold.
        code: the exit code.
    """
    before = tree(folder)
    assert main(words) == code
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("siamese-lab: ")
    assert "Traceback" not in seen.err
    assert len(seen.err) < 2500, "a message is read, not scrolled"
    assert all(character.isprintable() or character == "\n" for character in seen.err)
    for part in said:
        assert part in seen.err
    assert tree(folder) == before
    return seen.err
