"""Postgres for the services that keep state: transactions, migrations, outbox and inbox."""
