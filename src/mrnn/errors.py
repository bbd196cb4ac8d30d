"""What can go wrong in a way the user can mend: every message names the place and the remedy."""

from typing import Any


class MrnnError(Exception):
    """Base of all errors this package raises on purpose; `code` is stable and machine-readable.

    >>> try:
    ...     mrnn.load("no-such-model")
    ... except mrnn.MrnnError as error:
    ...     print(error.code)
    bundle
    """

    code = "error"


class ImageError(MrnnError):
    """An image that cannot be read, or of which nothing can be written where it was to go.

    `code` tells why: missing, unreadable, not-a-file, empty, not-an-image, too-large, damaged, or
    unsupported, of which nobody can tell what it shows, or that nothing here reads. Of features
    computed elsewhere: no-feature or bad-feature. Where something is written: xmp, a document that
    is damaged or cannot hold the caption; described, by somebody else; sidecar or page, a file that
    cannot be written, or must not be.

    >>> try:
    ...     captioner.caption("gone.jpg")
    ... except mrnn.ImageError as error:
    ...     print(error.code, error)
    missing gone.jpg: no such file
    """

    def __init__(self, code: str, message: str, image: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.image = image  # the path, or the name of one in memory, where a result was asked for

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return ImageError, (self.code, str(self), self.image)  # from one process to another

    def to_dict(self) -> dict[str, Any]:
        """What `mrnn caption --json` writes in the place of a caption."""
        return {"image": self.image, "error": {"code": self.code, "message": str(self)}}


class DataError(MrnnError):
    """A data set, caption file, library or feature cache that cannot be used.

    >>> with mrnn.Library.open("no.library", captioner) as library:
    ...     library.search("a dog")
    Traceback (most recent call last):
    ...
    mrnn.errors.DataError: no.library: no library there; ...
    """

    code = "data"


class DivergedError(DataError):
    """Learning that came to nothing: no perplexity on dev was finite."""


class BundleError(MrnnError):
    """A model directory that is missing, damaged or not ours.

    >>> mrnn.load("no-such-model")
    Traceback (most recent call last):
    ...
    mrnn.errors.BundleError: no-such-model: ...
    """

    code = "bundle"


class DependencyError(MrnnError):
    """A package that is not installed; the message holds the line to type.

    >>> mrnn.DependencyError.code
    'dependency'
    """

    code = "dependency"


class UsageError(MrnnError):
    """Options that do not go together, an option out of its range, or several where one is meant.

    >>> captioner.caption(["holiday.jpg", "beach.jpg"])
    Traceback (most recent call last):
    ...
    mrnn.errors.UsageError: one image is meant, not a list: caption_many takes several
    """

    code = "usage"
