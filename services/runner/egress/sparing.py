"""A log that no sandbox can fill: the HTTP server writes a traceback of each request that is none, of which thousands may come a second."""

import logging
from typing import Any

SAID = 8
"""Of one door: enough to see what is wrong, too little to hide anything in."""


class Sparing(logging.LoggerAdapter[logging.Logger]):
    """One door's logger: says so many things, then no more."""

    def __init__(self, logger: logging.Logger, said: int = SAID) -> None:
        super().__init__(logger, {})
        self._left = said

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """See LoggerAdapter: every other way to say something comes here."""
        if self._left > 0 and self.isEnabledFor(level):
            self._left -= 1
            super().log(level, msg, *args, **kwargs)
