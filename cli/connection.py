"""How this program speaks HTTP: straight to the server that was named, and in plain words when nobody answers."""

import ssl
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from cli.exits import CliError, Exit

VERSION = "0.1.0"
_TIMEOUT = httpx.Timeout(30, connect=5)


def connect(url: str) -> httpx.Client:
    """A client for one server: no proxy and no redirect takes a token elsewhere."""
    headers = {"user-agent": f"async-code/{VERSION}"}
    return httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False, verify=_authorities(url), headers=headers)


def _authorities(url: str) -> ssl.SSLContext:
    """The machine's own (and SSL_CERT_FILE). For a plain connection none: reading them takes a while, and https:// would then fail."""
    return ssl.create_default_context() if url.startswith("https://") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def is_here(url: str) -> bool:
    """Whether the address is this machine's own, so that nobody else hears what is said."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def unreachable(url: str, cause: httpx.RequestError) -> CliError:
    """The error for a server that does not answer."""
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        advice = "If an authority of your own signs there, name it in SSL_CERT_FILE."
        return CliError(f"{url} has a certificate that this machine does not trust.", advice, Exit.UNREACHABLE)
    advice = "Start it with: ./async-code up" if is_here(url) else "Check the address in ASYNC_CODE_URL, and the network."
    return CliError(f"{url} does not answer.", advice, Exit.UNREACHABLE)
