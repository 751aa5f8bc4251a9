from deploy.embedded.keeper import LONGEST_PAUSE_SECONDS, pause_seconds


def test_the_pause_doubles_up_to_a_cap() -> None:
    assert [pause_seconds(failures, lambda: 1.0) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause_seconds(10_000, lambda: 1.0) == LONGEST_PAUSE_SECONDS


def test_half_of_the_pause_is_chance() -> None:
    assert pause_seconds(3, lambda: 0.0) == 1
    assert 1 <= pause_seconds(3) <= 2
