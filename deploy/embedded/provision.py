"""The step between the servers and the services: streams and consumers, schemas and roles, the auth server's own schema, the first user.

A process of its own, started by the supervisor with the path of the state directory; it can be run again at any time. It alone holds
the provisioners' keys and the database superuser's password, and it is gone before a service starts.
"""

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

from deploy.embedded import capacity, settings, users
from deploy.embedded.auth import apply as auth
from deploy.embedded.install import App
from deploy.embedded.processes import DATABASE, Deployment
from deploy.embedded.state import Config, Layout
from deploy.nats import apply as nats
from deploy.postgres import apply as postgres
from deploy.postgres import binaries
from deploy.postgres.cluster import SUPERUSER


def current(root: Path) -> Deployment:
    """The deployment whose state lies in `root`, seen from the code that runs now."""
    layout = Layout(root)
    app = App(Path(__file__).parents[2], Path(sys.prefix))
    operator = settings.load(layout.settings)
    accounts = users.ensure(operator.get("DOCKER_HOST", users.DOCKER_HOST))
    images, registries = layout.agent_images(), layout.found_registries()
    return Deployment(layout, Config.load(layout.config), operator, accounts, app, binaries.find(), images, registries)


async def provision(deployment: Deployment) -> None:
    """Bring both servers to what this version of the code needs."""
    nats_settings = nats.ApplySettings(
        url=deployment.nats_url,
        state=deployment.provision_dir,
        store_bytes=capacity.store_bytes(deployment.settings),
        rooms=capacity.streams(deployment.settings),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(nats.apply(nats_settings))
        group.create_task(_database(deployment))


async def _database(deployment: Deployment) -> None:
    url = deployment.cluster.url(SUPERUSER, DATABASE)
    await postgres.apply(
        postgres.ApplySettings(admin_url=url, admin_password_file=deployment.admin_password_file, passwords_dir=deployment.passwords_dir)
    )
    connection = await asyncpg.connect(url, password=deployment.admin_password_file.read_text().strip(), command_timeout=60)
    try:
        first = json.loads(deployment.layout.sign_in.read_text())
        await auth.apply(connection, postgres.password(deployment.passwords_dir, auth.ROLE), first["email"], first["password"])
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(provision(current(Path(sys.argv[1]))))
    print("provisioned")
