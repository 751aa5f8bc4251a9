"""Who has waited longest for the model's next byte."""

from services.runner.egress.silence import Silence


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_silence_is_the_longest_of_the_requests_that_are_out() -> None:
    clock = Clock()
    silence = Silence(clock)
    assert silence.seconds == 0
    with silence.watched():
        clock.now += 5
        with silence.watched() as heard:
            clock.now += 3
            assert silence.seconds == 8
            heard()
        clock.now += 1
        assert silence.seconds == 9
    assert silence.seconds == 0


def test_who_does_not_take_the_answer_is_no_silent_model() -> None:
    clock = Clock()
    silence = Silence(clock)
    with silence.watched() as heard:
        heard(waits=False)
        clock.now += 60
        assert silence.seconds == 0
        heard()
        clock.now += 2
        assert silence.seconds == 2


def test_a_byte_ends_it() -> None:
    clock = Clock()
    silence = Silence(clock)
    with silence.watched() as heard:
        clock.now += 5
        heard()
        assert silence.seconds == 0
