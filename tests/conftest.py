"""The real servers that tests ask for by fixture."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("untimed")

pytest_plugins = ["tests.servers.nats", "tests.servers.postgres", "tests.servers.stack_fixtures"]
