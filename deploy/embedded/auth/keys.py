"""The key that signs access tokens: ES256, named by its RFC 7638 thumbprint. Its public half is the only one that leaves this file."""

import json
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from shared.secrets.files import read_private

ALGORITHM = "ES256"


def generate() -> bytes:
    """A new private key, as the content of its file."""
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM})
    return json.dumps({**key.as_dict(private=True), "kid": key.thumbprint()}).encode()


def load(path: Path) -> ECKey:
    """The key in a file of mode 0600. Raises NotPrivate, ValueError."""
    return ECKey.import_key(json.loads(read_private(path)))


def jwks(key: ECKey) -> dict[str, list[dict[str, Any]]]:
    """The document others verify with: public members alone."""
    return {"keys": [{**key.as_dict(private=False), "key_ops": ["verify"]}]}
