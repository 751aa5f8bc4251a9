"""Why an image could not be built; each message says what to do."""


class ImageBuildError(Exception):
    """An image could not be built."""


class ToolMissing(ImageBuildError):
    """A program the build needs is not installed."""


class StepFailed(ImageBuildError):
    """A step of the build ended badly; the message carries the end of its output."""
