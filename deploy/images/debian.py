"""A Debian base image from packages alone, for machines that reach no container registry: debootstrap, then `docker import`."""

import os
import subprocess
import tempfile
from pathlib import Path

from deploy.images import recipe, steps
from deploy.images.errors import StepFailed, ToolMissing
from deploy.images.settings import ImageSettings

_LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/info", "etc/resolv.conf")
_NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


def build(tag: str, settings: ImageSettings) -> None:
    """Makes the image `tag`. Needs root, debootstrap and the Debian mirror."""
    debootstrap = steps.need("debootstrap", "apt-get install debootstrap, or set IMAGES_BASE_IMAGE")
    if os.geteuid() != 0:
        raise ToolMissing("building a Debian base needs root. Run once: sudo ./async-code images (or set IMAGES_BASE_IMAGE)")
    with tempfile.TemporaryDirectory(prefix="async-code-debian-") as directory:
        root = Path(directory) / "root"
        include = "--include=" + ",".join(recipe.packages())
        steps.run(
            [debootstrap, "--variant=minbase", include, settings.debian_suite, root, settings.debian_mirror], environment=_NONINTERACTIVE
        )
        _add_security_updates(root, settings)
        _import(root, tag)


def _add_security_updates(root: Path, settings: ImageSettings) -> None:
    if not settings.debian_security_mirror:
        return
    suite, sources = settings.debian_suite, root / "etc/apt/sources.list"
    sources.write_text(
        f"deb {settings.debian_mirror} {suite} main\n"
        f"deb {settings.debian_mirror} {suite}-updates main\n"
        f"deb {settings.debian_security_mirror} {suite}-security main\n"
    )
    chroot = steps.need("chroot", "it is part of coreutils")
    steps.run([chroot, root, "apt-get", "-qq", "update"], environment=_NONINTERACTIVE)
    steps.run([chroot, root, "apt-get", "-qq", "--yes", "upgrade"], environment=_NONINTERACTIVE)


def _import(root: Path, tag: str) -> None:
    docker, tar = steps.need("docker", "apt-get install docker.io"), steps.need("tar", "apt-get install tar")
    excluded = [f"--exclude=./{path}" for path in _LEFT_OUT]
    with subprocess.Popen([tar, "-C", str(root), "--numeric-owner", *excluded, "-c", "."], stdout=subprocess.PIPE) as packing:
        done = subprocess.run([docker, "import", "-", tag], check=False, stdin=packing.stdout, capture_output=True)
    if packing.returncode != 0 or done.returncode != 0:
        raise StepFailed(f"docker import ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
