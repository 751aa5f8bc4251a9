"""Builds the images agents run in: `python -m deploy.images.build [--only AGENT] [--prune]`, or `ensure_images` from the supervisor.

No step of a Dockerfile has a network. An image is skipped when the tag of its inputs exists; `async-code/<agent>:current` always names it.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.images import debian, recipe, steps, tarballs, wheels
from deploy.images.errors import ImageBuildError
from deploy.images.settings import ImageSettings

Progress = Callable[[str], None]


def ensure_images(progress: Progress, only: Sequence[str] = (), settings: ImageSettings | None = None) -> dict[str, str]:
    """Builds what is missing and returns the image of every agent (of those in `only`, where given). Raises ImageBuildError.

    One that needs more than an installation brings, and cannot be made, is left out and told, unless it is asked for in `only`.
    """
    settings = settings or ImageSettings()
    docker = steps.need("docker", "apt-get install docker.io iptables")
    if not steps.succeeds([docker, "version", "--format", "{{.Server.Version}}"]):
        raise ImageBuildError("the Docker engine does not answer: start it, or set DOCKER_HOST")
    tags = recipe.tags(settings)
    wanted = {agent: tag for agent, tag in tags.agents.items() if not only or agent in only}
    if any(not _exists(tag) for tag in wanted.values()):
        _ensure_base(progress, tags, settings)
    made = dict[str, str]()
    for agent, tag in wanted.items():
        try:
            if not _exists(tag):
                _timed(progress, tag, lambda agent=agent, tag=tag: _build(agent, tag, tags.base))
        except ImageBuildError as error:
            if agent in only or not isinstance(recipe.AGENTS[agent], recipe.Tarball):
                raise
            progress(f"left out: the agent {agent}, whose tasks would fail as image_missing. {error}")
            continue
        steps.run([docker, "tag", tag, recipe.current(agent)])
        made[agent] = tag
    return made


def prune(progress: Progress, settings: ImageSettings | None = None) -> None:
    """Removes every image of ours that today's inputs do not make; one that a container uses stays."""
    docker = steps.need("docker", "apt-get install docker.io iptables")
    tags = recipe.tags(settings or ImageSettings())
    wanted = {tags.debian, tags.base, *tags.agents.values(), *(recipe.current(agent) for agent in recipe.AGENTS)}
    listed = steps.run([docker, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=async-code/*"]).split()
    for tag in listed:
        if tag not in wanted and steps.succeeds([docker, "image", "rm", tag]):
            progress(f"removed {tag}")


def _ensure_base(progress: Progress, tags: recipe.Tags, settings: ImageSettings) -> None:
    if _exists(tags.base):
        return
    if not settings.base_image and not _exists(tags.debian):
        _timed(progress, tags.debian, lambda: debian.build(tags.debian, settings))
    _timed(progress, tags.base, lambda: _build("base", tags.base, tags.debian))


def _exists(tag: str) -> bool:
    return steps.succeeds([steps.need("docker", "apt-get install docker.io"), "image", "inspect", tag])


def _timed(progress: Progress, tag: str, build: Callable[[], None]) -> None:
    progress(f"building {tag}")
    begun = time.monotonic()
    build()
    progress(f"built {tag} in {time.monotonic() - begun:.0f} s")


def _build(name: str, tag: str, parent: str) -> None:
    docker = steps.need("docker", "apt-get install docker.io")
    with tempfile.TemporaryDirectory(prefix=f"async-code-{name}-") as directory:
        context = Path(directory) / "context"
        shutil.copytree(recipe.HERE / name, context)
        match recipe.AGENTS.get(name):
            case recipe.Wheel() as wheel:
                wheels.extract(wheel, context)
            case recipe.Tarball() as tarball:
                tarballs.extract(tarball, context)
            case None:
                pass
        labels = ["--label", f"async-code.image={name}"]
        # The classic builder: buildx is not part of every engine, and nothing here needs it.
        steps.run(
            [docker, "build", "--quiet", "--network", "none", "--build-arg", f"FROM_IMAGE={parent}", *labels, "--tag", tag, context],
            environment={"DOCKER_BUILDKIT": "0"},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images.build", description="Build the images agents run in.")
    parser.add_argument("--only", action="append", default=[], choices=sorted(recipe.AGENTS), help="an agent; may be given again")
    parser.add_argument("--prune", action="store_true", help="afterwards, remove images that earlier versions made")
    asked = parser.parse_args(arguments)
    try:
        images = ensure_images(lambda line: print(line, flush=True), asked.only)
        if asked.prune:
            prune(lambda line: print(line, flush=True))
    except ImageBuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for agent, tag in images.items():
        print(f"{agent}: {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
