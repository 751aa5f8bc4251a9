"""Which step comes next, by the conversation and by what has failed before."""

import pytest

from deploy.embedded.scripted.steps import Cut, Fail, Next, Run, Say, Step, upcoming

RUN, SAY, FAIL, CUT = Run("true"), Say("Done."), Fail(500), Cut(times=1)


@pytest.mark.parametrize(
    ("steps", "done", "expected"),
    [
        ([RUN, SAY], 0, Next(RUN)),
        ([RUN, SAY], 1, Next(SAY)),
        ([RUN, SAY], 7, Next(SAY)),
        ([RUN], 3, Next(RUN)),
        ([FAIL], 0, Next(Say("Done."), ((0, FAIL),))),
        ([FAIL], 2, Next(Say("Done."), ((0, FAIL),))),
        ([], 0, Next(Say("Done."))),
        ([FAIL, CUT, RUN, SAY], 0, Next(RUN, ((0, FAIL), (1, CUT)))),
        ([RUN, CUT, SAY], 0, Next(RUN)),
        ([RUN, CUT, SAY], 1, Next(SAY, ((1, CUT),))),
        ([RUN, FAIL], 0, Next(RUN)),
        ([RUN, FAIL], 1, Next(RUN, ((1, FAIL),))),
        ([RUN, SAY, FAIL], 1, Next(SAY)),
    ],
)
def test_a_step_follows_from_the_answered_calls_and_faults_come_before_it(steps: list[Step], done: int, expected: Next) -> None:
    assert upcoming(steps, done) == expected
