"""The bus. Services import from its modules; the names most of them need are here."""

from shared.bus.connection import Bus
from shared.bus.delivery import Delivery, Handler
from shared.bus.settings import BusSettings
from shared.bus.streams import Durable, Stream

__all__ = ["Bus", "BusSettings", "Delivery", "Durable", "Handler", "Stream"]
