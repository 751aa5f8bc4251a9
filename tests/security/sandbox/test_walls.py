"""Every way out, tried from inside a real sandbox and from inside a container as Docker makes it."""

import asyncio

import pytest

from deploy.images.build import ensure_images
from tests.security.sandbox import page, walls


@pytest.fixture(scope="module")
def tried() -> tuple[walls.Answers, walls.Answers]:
    image = ensure_images(lambda _: None, ["shell"])["shell"]
    with walls.outside(image) as around:
        return asyncio.run(walls.ours(image, around)), walls.docker_defaults(image, around)


def test_every_way_out_is_closed_but_those_with_a_reason(tried: tuple[walls.Answers, walls.Answers]) -> None:
    ours, _ = tried
    passed = {
        f"{probe.name}: {attempt}": answer
        for probe in walls.probes()
        for attempt, answer in ours[probe.name].items()
        if answer not in probe.closed
    }
    assert passed == {}


def test_the_probes_are_no_straw_men(tried: tuple[walls.Answers, walls.Answers]) -> None:
    """What is there is really reached from a container without our walls: a probe that cannot succeed proves nothing."""
    _, docker = tried
    reached = ("the machine's own services", "other containers", "the first process", "the image's files", "device nodes", "limits")
    assert {answer for name in reached for answer in docker[name].values()} == {"open"}


def test_what_the_page_says_of_dockers_defaults_is_so(tried: tuple[walls.Answers, walls.Answers]) -> None:
    recorded = page.recorded()
    if dict(walls.engine_and_kernel()) != recorded["seen"]["with"]:
        pytest.skip(f"the page speaks of {recorded['seen']['with']}: record anew with python -m tests.security.sandbox")
    assert tried[1] == recorded["docker"], "record anew: python -m tests.security.sandbox"
