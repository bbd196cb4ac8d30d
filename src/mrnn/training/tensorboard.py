"""The epochs of a run as TensorBoard events; needs the extra `tensorboard`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, DependencyError
from ..images.finding import printable
from .run_records import EpochRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@contextmanager
def events(folder: Path) -> Iterator[Callable[[EpochRecord], None]]:
    """Yields a function that writes the events of an epoch, each phase as a run of its own.

    The steps are the updates of the phase. The first epoch written revokes what an earlier process
    left from its update on, so that a run may be resumed anywhere. Raises DependencyError without
    the package, DataError when the folder cannot be made.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DependencyError(
            "TensorBoard events need a package more; type: pip install 'mrnn[tensorboard]'"
        ) from None
    try:  # now rather than after the first epoch
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{printable(folder)}: cannot be made ({error.strerror})") from None
    with ExitStack() as stack:
        writers: dict[str, SummaryWriter] = {}

        def write(record: EpochRecord) -> None:
            if record.phase not in writers:
                writer = SummaryWriter(str(folder / record.phase), purge_step=record.update)
                writers[record.phase] = stack.enter_context(writer)
            _write(writers[record.phase], record)

        yield write


def _write(writer: SummaryWriter, record: EpochRecord) -> None:
    scalars = {
        "perplexity/train": record.train_perplexity,
        "perplexity/dev": record.dev_perplexity,
        "words_per_second": record.words / max(record.seconds, 1e-9),
    }
    for tag, value in scalars.items():
        if math.isfinite(value):
            writer.add_scalar(tag, value, record.update)
    for sample in record.samples:
        text = f"{printable(sample.caption)} (perplexity {sample.perplexity:.2f})"
        writer.add_text(f"caption/{printable(sample.image)}", text, record.update)
    writer.flush()  # a killed process loses nothing
