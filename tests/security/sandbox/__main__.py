"""Try everything again and write down what was seen: `python -m tests.security.sandbox` (seconds; takes the running Docker engine)."""

import asyncio
import json

from deploy.images.build import ensure_images
from tests.security.sandbox import page, walls


def main() -> None:
    """Records the answers and rewrites the table of docs/security.md."""
    image = ensure_images(lambda _: None, ["shell"])["shell"]
    with walls.outside(image) as around:
        ours, docker = asyncio.run(walls.ours(image, around)), walls.docker_defaults(image, around)
    seen = {"seen": {"with": walls.engine_and_kernel()}, "ours": ours, "docker": docker}
    page.ANSWERS.write_text(json.dumps(seen, indent=1) + "\n")
    page.DOCUMENT.write_text(page.rewritten(page.DOCUMENT.read_text(), page.table(walls.groups(), page.recorded())))


if __name__ == "__main__":
    main()
