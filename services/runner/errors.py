"""What goes wrong in the runner. A `RunFailure` ends its run with a code of the closed catalogue; the rest is tried again."""

from typing import ClassVar

from shared.bus.errors import Transient


class RunnerError(Exception):
    """Something went wrong in the runner."""


class RunFailure(RunnerError):
    """The run ends here. `CODE` is its failure in shared.events.failures; the message is for the log."""

    CODE: ClassVar[str] = "internal"


class ImageMissing(RunFailure):
    """The agent's image is not on this Docker host."""

    CODE = "image_missing"


class UnknownAgent(RunFailure):
    """No agent of this name is installed."""

    CODE = "unknown_agent"


class UnknownOption(RunFailure):
    """The agent does not know what it is asked for: it would do the task as if nobody had asked."""

    CODE = "unknown_option"


class CredentialMissing(RunFailure):
    """The agent needs a model, and the task names no key."""

    CODE = "credential_missing"


class ModelAddressRefused(RunFailure):
    """The model key is stored for an address that this deployment does not reach out to."""

    CODE = "model_address_refused"


class SandboxUnavailable(RunFailure):
    """The engine refused the sandbox, or the sandbox did not do what it was told in time."""

    CODE = "sandbox_unavailable"


class SandboxOutOfMemory(RunFailure):
    """The kernel ended the whole sandbox for want of memory: what ran in it took all, and would again."""

    CODE = "out_of_memory"


class CheckoutFailed(RunFailure):
    """The snapshot could not be checked out in the sandbox."""

    CODE = "checkout_failed"


class ImageNotAllowed(RunFailure):
    """The project names an image that the operator does not allow."""

    CODE = "image_not_allowed"


class ImageUnfit(RunFailure):
    """The image that the project names does not stand on the agent's: its helper programs, or the agent, may be others."""

    CODE = "image_unfit"


class SetupFailed(RunFailure):
    """The project's set-up script ended with an error."""

    CODE = "setup_exit"


class SetupTimedOut(RunFailure):
    """The project's set-up script took too long."""

    CODE = "setup_timeout"


class EnvironmentTooLarge(RunFailure):
    """What the set-up script made is over the limit, or there is no room for it in the agent's sandbox."""

    CODE = "setup_too_large"


class DirectoryTracked(RunFailure):
    """A directory of the environment holds files of the repository: what lies in it would silently be no part of a change."""

    CODE = "setup_directory_tracked"


class DirectoryMissing(RunFailure):
    """The set-up script did not make a directory that is declared."""

    CODE = "setup_directory_missing"


class EnvironmentRefused(RunFailure):
    """What the set-up script made names places outside of the declared directories."""

    CODE = "setup_refused"


class WorkRefused(RunFailure):
    """The work holds what git cannot carry, and git says so when it adds it."""

    CODE = "pack_refused"


class NestedRepository(WorkRefused):
    """The work holds a repository, which git would record as a link to a commit nobody else has."""

    CODE = "nested_repository"


class SubmoduleContent(WorkRefused):
    """The work holds files in a submodule's directory, where git does not look."""

    CODE = "submodule_content"


class ResultTooLarge(RunFailure):
    """The work adds more than a result may hold."""

    CODE = "result_too_large"


class CheckpointRefused(RunnerError):
    """A checkpoint cannot be taken, or cannot be gone on from: the run does without."""


class StorageFull(RunFailure):
    """The blob store had no room for what came out, however long it was waited for."""

    CODE = "storage_full"


class HarvestInvalid(RunFailure):
    """What the sandbox handed out is not what a harvest looks like."""

    CODE = "sandbox_unavailable"


class SnapshotLost(RunFailure):
    """The workspace blob is no longer stored, or not what its name says."""

    CODE = "blob_missing"


class PromptLost(RunFailure):
    """The gateway knows no prompt for this run."""

    CODE = "internal"


class EnvironmentLost(RunFailure):
    """The gateway tells another environment than the command names, or none."""

    CODE = "internal"


class SandboxLost(RunnerError, Transient):
    """The run has no sandbox any more, through no fault of its agent: another attempt is made. See decision 0015."""


class EngineUnreachable(SandboxLost):
    """The Docker engine does not answer."""


class SandboxGone(SandboxLost):
    """The sandbox's container ended under the run: its engine stopped, or somebody removed it. An agent cannot do that."""
