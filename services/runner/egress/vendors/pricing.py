"""What tokens cost. Pure; the table of prices is data with a date."""

from dataclasses import dataclass, replace

MILLION = 1_000_000


@dataclass(frozen=True)
class Tokens:
    """What an answer read and wrote; each kind has its price."""

    fresh: int = 0
    cache_written: int = 0
    cache_read: int = 0
    output: int = 0

    @property
    def input(self) -> int:
        """Everything that was read."""
        return self.fresh + self.cache_written + self.cache_read


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens of each kind; more for requests that read more than `long_tokens`."""

    fresh: float
    output: float
    cache_written: float
    cache_read: float
    long_tokens: int
    long_input: float = 2.0
    long_output: float = 1.5

    def cost_usd(self, tokens: Tokens) -> float:
        """What these tokens cost in one request."""
        long = tokens.input > self.long_tokens
        read = tokens.fresh * self.fresh + tokens.cache_written * self.cache_written + tokens.cache_read * self.cache_read
        written = tokens.output * self.output
        return (read * (self.long_input if long else 1.0) + written * (self.long_output if long else 1.0)) / MILLION

    def times(self, factor: float) -> "Price":
        """The same, dearer."""
        return replace(
            self,
            fresh=self.fresh * factor,
            output=self.output * factor,
            cache_written=self.cache_written * factor,
            cache_read=self.cache_read * factor,
        )


FREE = Price(0, 0, 0, 0, long_tokens=MILLION)
