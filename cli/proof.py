"""Verification of the trail on the machine that holds it: where its entries, its published checkpoints and its key lie."""

import logging
import time
from pathlib import Path

import structlog
from pydantic import ValidationError

from cli.context import layout
from cli.exits import CliError, Exit
from deploy.embedded import provision
from deploy.postgres.apply import password_file
from services.audit import keys, verify
from services.audit.errors import EntryInvalid, KeyUnusable
from services.audit.findings import Report
from services.audit.verify import describe
from shared.secrets.errors import NotPrivate
from shared.store.errors import StoreError
from shared.store.settings import StoreSettings

__all__ = ["describe", "examine", "export", "wait_sealed"]

READER = "async_code_audit_reader"
SEAL_SECONDS = 15.0


def examine(export: Path | None = None, checkpoints: Path | None = None, key: Path | None = None) -> Report:
    """Verify this machine's trail, or an export. Raises CliError where it cannot be tried."""
    here = layout()
    _keep_quiet()
    try:
        return verify.verify(
            export or _database(),
            checkpoints or here.public / "audit" / "checkpoint",
            key or keys.verifier_key_file(here.secret("audit", "signing-key")),
        )
    except EntryInvalid as error:
        raise CliError(f"NOT VERIFIED: {error}") from error
    except (OSError, KeyUnusable, NotPrivate, StoreError, ValidationError) as error:
        if isinstance(error, OSError | KeyUnusable) and (export or checkpoints or key):
            raise CliError(f"It could not be tried: {error}", "Check the files that were named.", Exit.USAGE) from error
        raise _unreadable(error) from error


def wait_sealed(index: int) -> Report:
    """A report that proves at least the entry `index`; the newest entries are sealed a moment after they are stored."""
    deadline = time.monotonic() + SEAL_SECONDS
    while True:
        report = examine()
        if not report.verified or report.sealed > index or time.monotonic() > deadline:
            return report
        time.sleep(0.2)


def export(output: Path) -> int:
    """Write this machine's log to a new file; gives how many entries it has. Raises CliError."""
    _keep_quiet()
    try:
        return verify.export(_database(), output)
    except FileExistsError as error:
        raise CliError(f"{output} is there already.", "Name a new file.", Exit.USAGE) from error
    except (OSError, NotPrivate, StoreError, ValidationError) as error:
        raise _unreadable(error) from error


def _keep_quiet() -> None:
    """What the database's library logs would stand in the output: a failure is said once, by us."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _unreadable(error: Exception) -> CliError:
    return CliError(f"The trail cannot be read: {error}", "Run it as the user who started the stack, while it is up.", Exit.UNREACHABLE)


def _database() -> StoreSettings:
    deployment = provision.current(layout().root)
    return StoreSettings(
        url=deployment.cluster.url(READER, provision.DATABASE),
        password_file=password_file(deployment.passwords_dir, READER),
        connect_seconds=5,
    )
