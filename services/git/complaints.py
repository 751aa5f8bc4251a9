"""Turns what git says on standard error into one of our errors. Pure; the text itself goes no further than the log.

Lines that begin with `remote:` are the other side's words and decide nothing.
"""

import re
from collections.abc import Sequence

from services.git import errors
from services.git.errors import GitError

Rules = Sequence[tuple[re.Pattern[bytes], type[GitError]]]


def _rules(*pairs: tuple[str, type[GitError]]) -> Rules:
    return tuple((re.compile(pattern.encode()), error) for pattern, error in pairs)


_AUTH = (
    r"Authentication failed for|could not read (Username|Password) for|terminal prompts disabled|unable to read askpass response"
    r"|The requested URL returned error: 40[13]\b|HTTP 40[13]\b|HTTP Basic: Access denied"
)
_MOVED = r"The requested URL returned error: 30[0-9]\b"
_CERTIFICATE = r"SSL certificate|SSL: |server certificate verification failed|certificate (verify failed|has expired|subject name)"
_OTHER = r"not valid: is this a git repository|invalid server response|expected flush after ref listing|bad line length character"
_MISSING = r"The requested URL returned error: (404|410)\b|repository '.*' not found|does not appear to be a git repository"
_OWNERSHIP = r"detected dubious ownership|transport '.*' not allowed"
_AWAY = (
    r"Could not resolve host|Failed to connect|Couldn't connect|Connection (refused|reset|timed out)|Operation (timed out|too slow)"
    r"|gnutls_handshake|TLS|The requested URL returned error: [45][0-9]{2}\b"
    r"|the remote end hung up|early EOF|Empty reply from server|unexpected disconnect|RPC failed|bad line length"
    r"|unable to access|Recv failure|HTTP/2 stream"
)

_FETCH = _rules(
    (r"couldn't find remote ref", errors.RefNotFound),
    (_AUTH, errors.RepositoryAuth),
    (_MISSING, errors.RepositoryNotFound),
    (_MOVED, errors.RepositoryMoved),
    (_CERTIFICATE, errors.CertificateRefused),
    (_OTHER, errors.NotARepository),
    (_OWNERSHIP, errors.AddressRefused),
    (r"File too large|died of signal 25|No space left on device", errors.RepositoryTooLarge),
    (_AWAY, errors.Unreachable),
)
_PUSH = _rules(
    (_AUTH, errors.PushAuth),
    (f"{_MISSING}|{_MOVED}", errors.PushNotFound),  # hosts answer 404 also to a token that may not see the repository
    (_CERTIFICATE, errors.PushCertificate),
    (_OWNERSHIP, errors.AddressRefused),
    (r"shallow update not allowed", errors.BaseGone),
    (f"{_AWAY}|{_OTHER}|git-http-push failed", errors.PushUnreachable),  # it spoke git a while ago
)
_INDEX = _rules(
    (r"pack exceeds maximum allowed size|File too large|died of signal 25", errors.ResultTooLarge),
)


_FSCK = re.compile(rb"error: object [0-9a-f]{40,64}: ([A-Za-z0-9]{1,40}): ")  # the name of the rule: fsck.<msg-id> in git-fsck(1)
_REASONS = (
    (rb"out of memory|mmap failed|cannot allocate", "it takes too much memory"),
    (rb"SHA-?1 COLLISION", "an object collides with another"),
    (rb"junk at the end", "something follows its end"),
    (rb"already resolved", "a delta makes an object that is there already"),
    (rb"unresolved delta|delta base", "a delta lacks its base"),
    (rb"SHA-?1 mismatch|SHA-?256 mismatch|pack is corrupted|checksum", "its checksum is wrong"),
    (rb"did not receive expected object|missing (blob|tree|commit|tag)|unable to read|object .* not found", "an object is missing"),
    (rb"expected type|unexpected type|is a (blob|tree|commit|tag), not", "an object is of another kind than it is called"),
    (rb"inflate|zlib|bad zlib", "an object does not unfold"),
    (rb"early EOF", "it breaks off"),
    (rb"pack signature|pack version|unknown object type|bad object|badly", "it is malformed"),
    (rb"exceeds maximum allowed size|File too large|signal 25", "it is too large"),
)


def reason(complaint: bytes) -> str:
    """Why git refused a pack, in fixed words or by the name of git's own rule: nothing of the pack is repeated."""
    rule = _FSCK.search(complaint)
    if rule is not None:
        return rule[1].decode("ascii")
    return next((words for pattern, words in _REASONS if re.search(pattern, complaint, re.IGNORECASE)), "for a reason of git's")


def _decide(complaint: bytes, rules: Rules) -> type[GitError] | None:
    own = b"\n".join(line for line in complaint.splitlines() if not line.startswith(b"remote:"))
    return next((error for pattern, error in rules if pattern.search(own)), None)


def of_fetch(complaint: bytes) -> type[GitError] | None:
    """Why a fetch failed; None when it is nothing the remote did."""
    return _decide(complaint, _FETCH)


def of_index(complaint: bytes) -> type[GitError]:
    """Why a pack was not taken in: whatever git says against it, it stays out."""
    return _decide(complaint, _INDEX) or errors.PackRefused


def of_push(complaint: bytes, report: bytes) -> type[GitError] | None:
    """Why a push failed, by the report of `git push --porcelain` first; None when it is nothing the remote did."""
    for line in report.splitlines():
        if not line.startswith(b"!"):
            continue
        summary = line.rsplit(b"\t", 1)[-1]
        if summary.startswith(b"[rejected]"):  # our own git compared what it was told to expect with what is there
            return errors.BranchTaken
        return errors.BaseGone if b"shallow update not allowed" in summary else errors.PushRefused
    return _decide(complaint, _PUSH)
