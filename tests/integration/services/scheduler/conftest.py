from tests.servers.postgres import database, postgres

__all__ = ["database", "postgres"]
