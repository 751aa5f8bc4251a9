"""The stored JSON Schema of every message type, and what counts as a break between two versions of one.

`python -m shared.events.schemas` writes `schemas/<type>.json`. A contract test holds each against the code *and* against every version
that was ever committed, so a break cannot be regenerated away: a message in the trail or on a stream stays readable for ever.
"""

import json
from pathlib import Path
from typing import Any, cast

from shared.events.catalogue import TYPES
from shared.events.envelope import Envelope

DIRECTORY = Path(__file__).with_name("schemas")

Schema = dict[str, Any]


def current(message_type: str) -> Schema:
    """The JSON Schema of the whole message (envelope and payload) as producers write it today."""
    return Envelope[TYPES[message_type]].model_json_schema(mode="validation")


def encode(schema: Schema) -> str:
    """The text of a stored schema."""
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def breaks(old: Schema, new: Schema) -> list[str]:
    """What a reader of either version could not understand of the other's messages; empty when both directions hold.

    Allowed: a new field with a default. Not allowed: a field removed, a new required field, a field's obligation or form changed.
    """
    return _compare(_expand(old, old), _expand(new, new), "")


def _expand(node: Any, root: Schema) -> Any:
    """The schema with every `$ref` in its place and without words for people, which may change freely."""
    if isinstance(node, list):
        return [_expand(item, root) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    mapping = cast("Schema", node)
    if "$ref" in mapping:
        return _expand(root["$defs"][mapping["$ref"].rpartition("/")[2]], root)
    properties = {name: _expand(value, root) for name, value in mapping.get("properties", {}).items()}
    rest = {key: _expand(value, root) for key, value in mapping.items() if key not in _FOR_PEOPLE}
    return rest | ({"properties": properties} if "properties" in mapping else {})


_FOR_PEOPLE = frozenset({"description", "title", "default", "$defs", "properties"})


def _compare(old: Any, new: Any, where: str) -> list[str]:
    if not isinstance(old, dict) or not isinstance(new, dict) or "properties" not in old or "properties" not in new:
        return [] if old == new else [f"{where or 'message'}: was {json.dumps(old)}, is {json.dumps(new)}"]
    was, now = cast("Schema", old), cast("Schema", new)
    was_required, now_required = set(was.get("required", [])), set(now.get("required", []))
    found = [f"{where}{name}: removed" for name in was["properties"].keys() - now["properties"].keys()]
    found += [f"{where}{name}: required, but older messages do not have it" for name in now_required - was_required]
    found += [f"{where}{name}: optional, but older readers require it" for name in was_required - now_required if name in now["properties"]]
    for name in was["properties"].keys() & now["properties"].keys():
        found += _compare(was["properties"][name], now["properties"][name], f"{where}{name}.")
    return sorted(found)


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for name in TYPES:
        (DIRECTORY / f"{name}.json").write_text(encode(current(name)))
