"""What a person and an agent are told in fixed words: no name of a repository's stands in them, and of a request only its host. No I/O."""

from services.runner.doors import Refused
from services.runner.sandbox import Elsewhere, Harvest


def of(elsewhere: Elsewhere) -> list[str]:
    """What the work tree lacks from the start."""
    sentences = list[str]()
    if elsewhere.lfs_pointers:
        pointers = _counted(elsewhere.lfs_pointers, "file is a Git LFS pointer", "files are Git LFS pointers")
        sentences.append(f"{pointers} without the content behind; it cannot be fetched here.")
    if elsewhere.submodules:
        empty = _counted(elsewhere.submodules, "submodule is empty; it", "submodules are empty; they")
        sentences.append(f"{empty} cannot be fetched here.")
    return sentences


def left_out(harvest: Harvest) -> list[str]:
    """What the work tree held at the end and the change does not."""
    sentences = list[str]()
    if harvest.special_files:
        sentences.append(f"{_counted(harvest.special_files, 'socket or pipe is', 'sockets or pipes are')} not part of the change.")
    if harvest.ignored:
        ignored = _counted(harvest.ignored, "ignored file or directory is", "ignored files or directories are")
        sentences.append(f"{ignored} not part of the change (.gitignore).")
    return sentences


def refused(request: Refused) -> str:
    """What the sandbox asked for and did not get."""
    whose = "the model" if request.ecosystem is None else f"{request.ecosystem} packages"
    host = "" if request.host is None else f" ({request.host})"
    return f"Refused at the door: {whose}, {request.reason}{host}."


def beside_the_preface(elsewhere: Elsewhere) -> str:
    """The same for an agent, to stand between an adapter's preface and the prompt; empty where nothing lacks."""
    return "".join(f"{sentence}\n" for sentence in of(elsewhere)) + ("\n" if of(elsewhere) else "")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
