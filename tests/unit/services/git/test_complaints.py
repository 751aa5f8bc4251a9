import pytest

from services.git import complaints, errors


@pytest.mark.parametrize(
    ("complaint", "error"),
    [
        (b"fatal: couldn't find remote ref refs/heads/x", errors.RefNotFound),
        (b"fatal: Authentication failed for 'https://example.org/a/'", errors.RepositoryAuth),
        (b"fatal: could not read Username for 'https://x': terminal prompts disabled", errors.RepositoryAuth),
        (b"fatal: unable to access 'https://x/': The requested URL returned error: 403", errors.RepositoryAuth),
        (b"fatal: repository 'https://x/a/' not found", errors.RepositoryNotFound),
        (b"fatal: unable to access 'http://x/': The requested URL returned error: 302", errors.RepositoryMoved),
        (
            b"fatal: '/srv/x' does not appear to be a git repository\nfatal: Could not read from remote repository.",
            errors.RepositoryNotFound,
        ),
        (b"fatal: detected dubious ownership in repository at '/x'", errors.AddressRefused),
        (b"fatal: unable to access 'https://x/': Could not resolve host: x", errors.Unreachable),
        (b"fatal: unable to access 'https://x/': Failed to connect to x port 443: Connection refused", errors.Unreachable),
        (b"fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none", errors.CertificateRefused),
        (b"fatal: unable to access 'https://x/': SSL certificate problem: certificate has expired", errors.CertificateRefused),
        (
            b"fatal: unable to access 'https://x/': SSL: no alternative certificate subject name matches target host name 'x'",
            errors.CertificateRefused,
        ),
        (b"fatal: https://x/info/refs not valid: is this a git repository?", errors.NotARepository),
        (b"fatal: protocol error: bad line length character: <htm", errors.NotARepository),
        (b"fatal: unable to access 'https://x/': The requested URL returned error: 502", errors.Unreachable),
        (b"fatal: write error: File too large", errors.RepositoryTooLarge),
        (b"error: object file is empty", None),
        (b"remote: Authentication failed for you\nfatal: early EOF", errors.Unreachable),
    ],
)
def test_why_a_fetch_failed(complaint: bytes, error: type[errors.GitError] | None) -> None:
    assert complaints.of_fetch(complaint) is error


@pytest.mark.parametrize(
    ("complaint", "report", "error"),
    [
        (b"", b"To https://x\n!\ta:refs/heads/b\t[rejected] (stale info)\nDone\n", errors.BranchTaken),
        (b"", b"!\ta:refs/heads/b\t[remote rejected] (pre-receive hook declined)\n", errors.PushRefused),
        (
            b"remote: Authentication failed for x",
            b"!\ta:refs/heads/b\t[remote rejected] (protected branch hook declined)\n",
            errors.PushRefused,
        ),
        (b"fatal: unable to access 'https://x/': The requested URL returned error: 403", b"", errors.PushAuth),
        (b"fatal: Authentication failed for 'https://x/'", b"", errors.PushAuth),
        (b"fatal: repository 'https://x/' not found", b"", errors.PushNotFound),
        (b"fatal: unable to access 'https://x/': The requested URL returned error: 301", b"", errors.PushNotFound),
        (b"fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none", b"", errors.PushCertificate),
        (b"", b"!\ta:refs/heads/b\t[remote rejected] (shallow update not allowed)\n", errors.BaseGone),
        (b"fatal: unable to access 'https://x/': Could not resolve host: x", b"", errors.PushUnreachable),
        (b"fatal: the remote end hung up unexpectedly", b"", errors.PushUnreachable),
        (b"error: Cannot access URL http://x/, return code 22\nfatal: git-http-push failed", b"", errors.PushUnreachable),
        (b"fatal: http://x/info/refs not valid: is this a git repository?", b"", errors.PushUnreachable),
        (b"fatal: bad object", b"", None),
    ],
)
def test_why_a_push_failed(complaint: bytes, report: bytes, error: type[errors.GitError] | None) -> None:
    assert complaints.of_push(complaint, report) is error


def test_a_pack_is_refused_whatever_git_says_against_it() -> None:
    assert complaints.of_index(b"fatal: pack exceeds maximum allowed size (1.00 KiB)") is errors.ResultTooLarge
    assert complaints.of_index(b"error: object 1 treeHasDotgit: contains '.git'") is errors.PackRefused
    assert complaints.of_index(b"whatever") is errors.PackRefused
