"""What the git service can fail with. The type says what follows; the code names it in `shared.events.failures`.

Texts of remotes and tools stay in logs: a fact carries the code alone.
"""

from typing import ClassVar


class GitError(Exception):
    """The git service could not do its work."""


class Refused(GitError):
    """The work cannot be done, however often it is tried: the command ends with this code."""

    code: ClassVar[str] = "internal"


class Unreachable(GitError):
    """The remote does not answer now: tried a few times more, then the command ends with this code."""

    code: ClassVar[str] = "repository_unreachable"


class AddressRefused(Refused):
    """The repository's address is not one this deployment connects to."""

    code = "address_refused"


class RepositoryAuth(Refused):
    """The remote refused the credential, or wants one and none is stored."""

    code = "repository_auth"


class RepositoryNotFound(Refused):
    """The remote knows no such repository."""

    code = "repository_not_found"


class RepositoryMoved(Refused):
    """The remote redirects elsewhere, and redirects are not followed."""

    code = "repository_moved"


class CertificateRefused(Refused):
    """The remote's certificate is not valid for its name, now or here."""

    code = "repository_certificate"


class NotARepository(Refused):
    """The remote answers, but does not speak git."""

    code = "not_a_repository"


class RefNotFound(Refused):
    """The remote has no such branch or tag."""

    code = "ref_not_found"


class RepositoryEmpty(Refused):
    """The remote has no commit."""

    code = "repository_empty"


class RepositoryTooLarge(Refused):
    """The repository, or its snapshot, is over the operator's limit."""

    code = "repository_too_large"


class WorkMissing(Refused):
    """A blob this work stands on is no longer stored, or is not what its name says."""

    code = "blob_missing"


class PackRefused(Refused):
    """The sandbox's pack holds what git, or one of our own rules, does not let in."""

    code = "pack_refused"


class LfsContent(Refused):
    """The work holds content where the repository's attributes say that Git LFS keeps it."""

    code = "lfs_content"


class ResultTooLarge(Refused):
    """The sandbox's pack is over the operator's limit."""

    code = "result_too_large"


class WorkUnreadable(Unreachable):
    """git fails at what the sandbox made, or this machine does: tried a few times more, then the work is at fault."""

    code = "pack_refused"


class TreeMismatch(Refused):
    """The pack does not give the tree the sandbox said it wrote."""

    code = "tree_mismatch"


class PushAuth(Refused):
    """The remote refused the credential for pushing."""

    code = "push_auth"


class PushNotFound(Refused):
    """The remote knows no such repository any more, or not for this credential, or has moved it."""

    code = "push_not_found"


class PushCertificate(Refused):
    """The remote's certificate is not valid for its name, now or here, for a push."""

    code = "push_certificate"


class BaseGone(Refused):
    """The remote no longer has the commit the work began from, and we have none of what lay before it."""

    code = "base_gone"


class PushRefused(Refused):
    """The remote refused the push by a rule of its own."""

    code = "push_refused"


class BranchTaken(Refused):
    """The branch exists and holds something else."""

    code = "branch_taken"


class PushUnreachable(Unreachable):
    """The remote does not answer now, for a push."""

    code = "push_unreachable"


class StorageFull(Unreachable):
    """The blob store has no room for this class now: tried a few times more."""

    code = "storage_full"


class CommandFailed(GitError):
    """A git command of our own on our own files failed: a fault of this machine or of this program."""


class CommandTimedOut(CommandFailed):
    """A git command took longer than it may, and was killed."""


class OutputTooLarge(CommandFailed):
    """A git command said more than it may, and was killed."""


class LockTimedOut(GitError):
    """Another process kept a mirror locked for longer than we wait."""
