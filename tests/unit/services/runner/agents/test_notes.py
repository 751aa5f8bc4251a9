from services.runner.agents import notes
from services.runner.sandbox import Elsewhere, Harvest

TREE = "0" * 40


def test_nothing_is_said_of_nothing() -> None:
    assert not notes.of(Elsewhere())
    assert not notes.left_out(Harvest(TREE, None))
    assert not notes.beside_the_preface(Elsewhere())


def test_what_the_work_tree_lacks_is_counted_for_people_and_agents() -> None:
    lacking = Elsewhere(lfs_pointers=2, submodules=1)
    assert notes.of(lacking) == [
        "2 files are Git LFS pointers without the content behind; it cannot be fetched here.",
        "1 submodule is empty; it cannot be fetched here.",
    ]
    assert notes.beside_the_preface(lacking) == "\n".join([*notes.of(lacking), "\n"])


def test_what_the_change_leaves_out_is_counted() -> None:
    assert notes.left_out(Harvest(TREE, None, special_files=1, ignored=3)) == [
        "1 socket or pipe is not part of the change.",
        "3 ignored files or directories are not part of the change (.gitignore).",
    ]
