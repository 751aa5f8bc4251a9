"""The real servers that tests ask for by fixture."""

pytest_plugins = ["tests.servers.nats", "tests.servers.postgres", "tests.servers.stack_fixtures"]
