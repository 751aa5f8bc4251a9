"""Why a task can fail: a closed catalogue of codes, each with its class, message and advice.

A failure in a message is its code alone in effect: message and advice are fixed texts, so nothing a repository, an agent or a remote
wrote can enter the trail through an error. Details go to logs, redacted.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from shared.events.payload import Value


class FailureClass(StrEnum):
    """The closed list of what can go wrong, as a person would sort it."""

    CLONE_REFUSED = "clone_refused"
    SETUP_FAILED = "setup_failed"
    AGENT_FAILED = "agent_failed"
    MODEL_REFUSED = "model_refused"
    MODEL_OVERLOADED = "model_overloaded"
    MODEL_UNREACHABLE = "model_unreachable"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    OUT_OF_PROCESSES = "out_of_processes"
    RUNNER_LOST = "runner_lost"
    PUSH_REFUSED = "push_refused"
    FIDELITY = "fidelity"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    REJECTED_CONTENT = "rejected_content"
    INTERNAL = "internal"


class Failure(Value):
    """A failure as messages carry it. Build one with `failure(code)`."""

    failure_class: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,63}$")]
    """A `FailureClass`. Any name is read, so that an older consumer understands a class that was added later."""
    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,63}$")]
    message: str
    advice: str
    retryable: bool


_F = FailureClass
_CATALOGUE: dict[str, tuple[FailureClass, str, str, bool]] = {
    # code: (class, message, advice, whether the same task may succeed on a second try)
    "repository_unreachable": (
        _F.CLONE_REFUSED,
        "The repository could not be reached.",
        "Check its address and that this deployment may reach the host.",
        True,
    ),
    "repository_auth": (
        _F.CLONE_REFUSED,
        "The repository refused the credential.",
        "Store a valid token with read access and try again.",
        False,
    ),
    "repository_not_found": (
        _F.CLONE_REFUSED,
        "The repository does not exist, or the credential may not see it.",
        "Check the address and the token's access.",
        False,
    ),
    "address_refused": (
        _F.CLONE_REFUSED,
        "The repository's address is not allowed.",
        "Use https, and ask the operator to allow private networks if it is one.",
        False,
    ),
    "repository_moved": (
        _F.CLONE_REFUSED,
        "The repository's address redirects to another one, which is not followed.",
        "Give the project the address that the repository has now.",
        False,
    ),
    "repository_certificate": (
        _F.CLONE_REFUSED,
        "The repository's host could not prove who it is: its certificate is not valid for it.",
        "Check the address; the host's owner renews the certificate, or the operator adds its authority with ASYNC_CODE_CA_BUNDLE.",
        False,
    ),
    "not_a_repository": (
        _F.CLONE_REFUSED,
        "The address answers, but not as a git repository.",
        "Give the address that `git clone` takes, not that of a page.",
        False,
    ),
    "ref_not_found": (_F.CLONE_REFUSED, "The base branch does not exist.", "Name an existing branch as base_ref.", False),
    "repository_empty": (_F.CLONE_REFUSED, "The repository has no commits.", "Push a first commit and try again.", False),
    "repository_too_large": (
        _F.CLONE_REFUSED,
        "The repository's snapshot is over the size limit.",
        "Take large files out of it, or ask the operator to raise ASYNC_CODE_GIT_MAX_REPOSITORY_MIB and ASYNC_CODE_GIT_MAX_WORKSPACE_MIB.",
        False,
    ),
    "image_missing": (
        _F.SETUP_FAILED,
        "The agent's image is not on the runner.",
        "The operator builds it with `./async-code images`.",
        True,
    ),
    "sandbox_unavailable": (
        _F.SETUP_FAILED,
        "The sandbox could not be started, or did not do what it was told.",
        "Try again; the operator finds the cause in the runner's log.",
        True,
    ),
    "unknown_option": (
        _F.SETUP_FAILED,
        "The agent does not know an option of this task.",
        "Leave it out, or choose an agent that lists it.",
        False,
    ),
    "unknown_agent": (_F.SETUP_FAILED, "No agent of this name is installed.", "Choose one of the agents the deployment lists.", False),
    "image_not_allowed": (
        _F.SETUP_FAILED,
        "The operator does not allow the image that the project names.",
        "Name one that the deployment allows, or ask the operator to add it to ASYNC_CODE_ENVIRONMENT_IMAGES.",
        False,
    ),
    "image_unfit": (
        _F.SETUP_FAILED,
        "The image that the project names does not stand on the agent's image.",
        "Build it FROM the agent's image of this deployment's version, without squashing; after an update build it again.",
        False,
    ),
    "setup_exit": (
        _F.SETUP_FAILED,
        "The project's set-up script ended with an error.",
        "Read its output in the task's log. It sees no file of the repository but those that lock_files names.",
        False,
    ),
    "setup_timeout": (
        _F.SETUP_FAILED,
        "The project's set-up script took too long.",
        "Raise timeout_seconds of the project's environment, or let the script do less.",
        False,
    ),
    "setup_too_large": (
        _F.SETUP_FAILED,
        "What the project's set-up script made is over the size limit, or does not fit into the sandbox.",
        "Declare fewer directories, raise limits.disk_mib, or ask the operator to raise ASYNC_CODE_MAX_ENVIRONMENT_MIB.",
        False,
    ),
    "setup_directory_tracked": (
        _F.SETUP_FAILED,
        "A directory of the project's environment holds files of the repository, or lies behind one.",
        "Declare another directory: what lies in it would never be part of a change.",
        False,
    ),
    "setup_directory_missing": (
        _F.SETUP_FAILED,
        "The project's set-up script made no directory of a name that the project declares.",
        "Let the script make it, as a directory and no link, or do not declare it.",
        False,
    ),
    "setup_refused": (
        _F.SETUP_FAILED,
        "What the project's set-up script made cannot be put into a sandbox: it names places outside of the declared directories.",
        "Hard links must stay within the declared directories. Look at what the script installs.",
        False,
    ),
    "checkout_failed": (
        _F.SETUP_FAILED,
        "The snapshot could not be checked out in the sandbox.",
        "Check that the repository checks out with plain git.",
        False,
    ),
    "blob_missing": (_F.SETUP_FAILED, "Work kept for this task is no longer stored.", "Create the task again.", False),
    "credential_missing": (
        _F.MODEL_REFUSED,
        "No model key is stored for this agent.",
        "Store one with purpose model_key and try again.",
        False,
    ),
    "model_address_refused": (
        _F.MODEL_UNREACHABLE,
        "The address that the model key is stored for is not allowed.",
        "Use https and a public host, or ask the operator to allow its network; then store the key again.",
        False,
    ),
    "agent_exit": (_F.AGENT_FAILED, "The agent ended with an error.", "Read its log; the work so far is kept.", False),
    "agent_killed": (_F.AGENT_FAILED, "The agent was killed.", "Try again; the work so far is kept.", True),
    "model_not_asked": (
        _F.AGENT_FAILED,
        "The agent said that it was done, and its model had not given one answer.",
        "Read its log and try again; if it comes back, the operator checks the agent's image.",
        True,
    ),
    "agent_max_turns": (_F.AGENT_FAILED, "The agent used all its turns.", "Raise limits.max_turns or make the task smaller.", False),
    "budget_exceeded": (
        _F.AGENT_FAILED,
        "A cost limit was reached.",
        "Publish by hand what is kept, or hand it in again with a higher limits.max_cost_usd.",
        False,
    ),
    "model_auth": (_F.MODEL_REFUSED, "The model API refused the key.", "Store a valid model key and try again.", False),
    "model_forbidden": (
        _F.MODEL_REFUSED,
        "The model API does not let this key do that.",
        "Check the key's permissions and the model's name, or store another key.",
        False,
    ),
    "model_credit": (
        _F.MODEL_REFUSED,
        "The account behind the model key has no credit.",
        "Settle it with the model's vendor, or store another key.",
        False,
    ),
    "model_unknown": (
        _F.MODEL_REFUSED,
        "The model API does not know this model, or hides it from the key.",
        "Name a model that the key may use; the task's messages hold what the API said.",
        False,
    ),
    "model_request_refused": (
        _F.MODEL_REFUSED,
        "The model API refused the request.",
        "The task's messages hold what it said; often a setting of the model, or more text than it takes.",
        False,
    ),
    "model_rate_limited": (
        _F.MODEL_OVERLOADED,
        "The model API lets this key ask no more for now.",
        "Try again later, run fewer tasks at a time, or ask the vendor for a higher limit.",
        True,
    ),
    "model_overloaded": (
        _F.MODEL_OVERLOADED,
        "The model API was overloaded or failed.",
        "Try again later; the vendor's status page may say more.",
        True,
    ),
    "model_silent": (
        _F.MODEL_OVERLOADED,
        "The model API stopped answering.",
        "Try again later; raise limits.idle_seconds if the model needs longer. The work so far is kept.",
        True,
    ),
    "model_unreachable": (
        _F.MODEL_UNREACHABLE,
        "This deployment could not reach the model API.",
        "Try again; the operator checks its address, name resolution, certificates and the network.",
        True,
    ),
    "model_broke_off": (
        _F.MODEL_UNREACHABLE,
        "The model API's answers broke off.",
        "Try again; the operator checks the network and any proxy on the way to it.",
        True,
    ),
    "model_not_understood": (
        _F.MODEL_UNREACHABLE,
        "What answers at the model API's address is not the model API.",
        "The operator checks the address, and whether a proxy or a sign-in page answers in its place.",
        False,
    ),
    "pids_exhausted": (
        _F.OUT_OF_PROCESSES,
        "The agent reached the sandbox's limit of processes and threads.",
        "Raise limits.pids, or let it run less at a time; the work so far is kept.",
        False,
    ),
    "out_of_memory": (_F.OUT_OF_MEMORY, "The sandbox ran out of memory.", "Raise limits.memory_mib; the work so far is kept.", False),
    "disk_full": (_F.DISK_FULL, "The sandbox ran out of disk.", "Raise limits.disk_mib.", False),
    "storage_full": (
        _F.DISK_FULL,
        "There was no room to store the work.",
        "Try again later; the operator sees with `./async-code status` what is full.",
        True,
    ),
    "result_too_large": (_F.DISK_FULL, "The change is over the size limit.", "Keep build output out of the change with .gitignore.", False),
    "runner_lost": (_F.RUNNER_LOST, "The runner was lost and no other could finish the run.", "Try again.", True),
    "no_runner": (_F.RUNNER_LOST, "No runner took the task in time.", "The operator checks that runners are up and ready.", True),
    "push_auth": (_F.PUSH_REFUSED, "The repository refused the credential for pushing.", "Store a token with write access.", False),
    "push_not_found": (
        _F.PUSH_REFUSED,
        "The repository is no longer at its address, or the credential may not see it any more.",
        "Check the address and the token's access, then publish again; the change stays reviewable.",
        False,
    ),
    "push_certificate": (
        _F.PUSH_REFUSED,
        "The repository's host could not prove who it is: its certificate is not valid for it.",
        "When its owner has renewed it, or the operator has added its authority, publish again; the change stays reviewable.",
        False,
    ),
    "base_gone": (
        _F.PUSH_REFUSED,
        "The repository no longer holds the commit that the work began from.",
        "Its history was rewritten: apply the task's patch to the new history, or create the task again.",
        False,
    ),
    "push_refused": (
        _F.PUSH_REFUSED,
        "The repository refused the push.",
        "Check branch protection and push rules; the change stays reviewable.",
        False,
    ),
    "branch_taken": (
        _F.PUSH_REFUSED,
        "The task's branch exists with other content.",
        "Delete or rename that branch, then publish again.",
        False,
    ),
    "push_unreachable": (
        _F.PUSH_REFUSED,
        "The repository could not be reached for pushing.",
        "Try again; the change stays reviewable.",
        True,
    ),
    "tree_mismatch": (
        _F.FIDELITY,
        "The tree taken in is not the tree the sandbox wrote.",
        "The evidence is kept; tell the operator.",
        False,
    ),
    "pack_refused": (
        _F.REJECTED_CONTENT,
        "The work holds objects git refuses.",
        "Look for .git entries, odd modes or broken names in the change.",
        False,
    ),
    "nested_repository": (
        _F.REJECTED_CONTENT,
        "The work holds a git repository inside the repository.",
        "Let the agent keep clones outside of its work tree (/tmp), or ignored by .gitignore, or remove their .git.",
        False,
    ),
    "submodule_content": (
        _F.REJECTED_CONTENT,
        "The work holds files in the directory of a submodule, which is another repository.",
        "Make a task on the submodule's own repository; in this one its directory stays empty.",
        False,
    ),
    "lfs_content": (
        _F.REJECTED_CONTENT,
        "The work holds content where the repository's attributes keep a Git LFS pointer.",
        "Let the agent leave files that Git LFS keeps as they are, or add the path to .gitattributes as no LFS file.",
        False,
    ),
    "wall_time": (_F.TIME_LIMIT, "The run reached its wall-clock limit.", "Raise limits.wall_seconds; the work so far is kept.", False),
    "idle_time": (_F.TIME_LIMIT, "The agent said nothing for too long.", "Raise limits.idle_seconds; the work so far is kept.", False),
    "step_time": (_F.TIME_LIMIT, "A step of the task got no answer in time.", "Try again; the operator checks the services' health.", True),
    "cancelled": (_F.CANCELLED, "The run was stopped on request.", "Create the task again if it is still wanted.", False),
    "internal": (
        _F.INTERNAL,
        "Something failed inside the system.",
        "Try again; the operator finds the cause in the log by the task's id.",
        True,
    ),
}

CODES = frozenset(_CATALOGUE)


def failure(code: str) -> Failure:
    """The failure with this code. Raises KeyError for a code outside the catalogue."""
    failure_class, message, advice, retryable = _CATALOGUE[code]
    return Failure(failure_class=failure_class, code=code, message=message, advice=advice, retryable=retryable)
