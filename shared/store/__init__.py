"""Postgres for the services that keep state: transactions, migrations, outbox and inbox."""

from shared.store.database import Claims, Connection, Database
from shared.store.errors import MigrationsRefused, StoreConflict, StoreError, StoreUnavailable
from shared.store.inbox import Inbox
from shared.store.migrations import migrate
from shared.store.outbox import Outbox, OutboxRow, Publish, Relay
from shared.store.pruning import Pruning, Rule
from shared.store.settings import StoreSettings

__all__ = [
    "Claims",
    "Connection",
    "Database",
    "Inbox",
    "MigrationsRefused",
    "Outbox",
    "OutboxRow",
    "Pruning",
    "Publish",
    "Relay",
    "Rule",
    "StoreConflict",
    "StoreError",
    "StoreSettings",
    "StoreUnavailable",
    "migrate",
]
