"""A GoTrue-compatible auth server for the embedded deployment: what unmodified supabase-py and supabase-js need, and no more."""

from pathlib import Path

SCHEMA = Path(__file__).with_name("schema.sql")
"""Applied by the embedded provisioner, never as a migration: hosted Supabase brings its own auth."""
