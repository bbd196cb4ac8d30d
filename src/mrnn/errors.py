"""What can go wrong in a way the user can mend: every message names the place and the remedy."""


class MrnnError(Exception):
    """Base of all errors this package raises on purpose; `code` is stable and machine-readable."""

    code = "error"


class ImageError(MrnnError):
    """An image that cannot be read; `code` tells why (see images.py)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DataError(MrnnError):
    """A data set, caption file or feature cache that cannot be used."""

    code = "data"


class DivergedError(DataError):
    """Learning that came to nothing: no perplexity on dev was finite."""


class BundleError(MrnnError):
    """A model directory that is missing, damaged or not ours."""

    code = "bundle"


class DependencyError(MrnnError):
    """A package that is not installed; the message holds the line to type."""

    code = "dependency"


class UsageError(MrnnError):
    """Options that do not go together, or an option out of its range."""

    code = "usage"
