"""What can go wrong in the scheduler. What may heal by itself is not here: the store's and the bus's own errors say that."""

from shared.bus.errors import Terminal


class TaskUnreadable(Terminal):
    """A stored task breaks the schema of a task: an operator must look at the row."""
