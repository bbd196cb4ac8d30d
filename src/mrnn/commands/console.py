"""What the commands print: data on stdout, everything else on stderr.

-q leaves nothing of the latter but faults, lines that begin with `mrnn:`; -v adds what the package
logs. Both may stand before the command or after it.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MrnnError, UsageError
from ..images.finding import printable

if TYPE_CHECKING:
    from ..datasets import Problem
    from ..training.fit import Progress

FAILED, USAGE, PARTLY, INTERRUPTED = 1, 2, 3, 130  # exit codes; 0 is all done

_FAULT = "mrnn: "  # begins a line that tells what went wrong

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing on stderr but what went wrong.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more on stderr: the model, times, memory.")
]


class Loudness(IntEnum):
    """How much goes to stderr."""

    QUIET = -1
    USUAL = 0
    VERBOSE = 1


_loudness = Loudness.USUAL


def set_loudness(quiet: bool, verbose: bool) -> None:
    """Print less or more until the next call."""
    global _loudness  # noqa: PLW0603 - a process has one stderr
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose do not go together")
    _loudness = Loudness(verbose - quiet)
    if verbose or "logging" in sys.modules:
        import logging  # which takes a while

        log = logging.getLogger("mrnn")
        log.setLevel(logging.INFO if verbose else logging.WARNING)
        log.handlers = [logging.StreamHandler()] if verbose else []


def reporting_errors(command: Callable[..., int]) -> Callable[..., None]:
    """Turn a function that returns an exit code and raises MrnnError into a command."""

    @functools.wraps(command)
    def run(*args: Any, quiet: bool = False, verbose: bool = False, **kwargs: Any) -> None:
        started = time.perf_counter()
        try:
            if quiet or verbose:
                set_loudness(quiet, verbose)
            code = command(*args, **kwargs)
            sys.stdout.flush()
            if _loudness is Loudness.VERBOSE:
                note(f"{time.perf_counter() - started:.2f} s in all{_memory()}")
        except MrnnError as error:
            note(f"mrnn: {error}")
            code = USAGE if isinstance(error, UsageError) else FAILED
        except KeyboardInterrupt:
            note("mrnn: interrupted")
            code = INTERRUPTED
        except BrokenPipeError:  # the reader of a pipe, such as head, has left
            sys.stderr.close()
            code = FAILED
        except OSError as error:
            note(f"mrnn: {printable(error.filename or '')}: {error.strerror or error}")
            code = FAILED
        raise typer.Exit(code)

    signature = inspect.signature(command, eval_str=True)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", Quiet), ("verbose", Verbose))
    ]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *more]
    )
    return run


def _memory() -> str:
    try:
        import resource
    except ImportError:  # Windows
        return ""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f", {most >> (20 if sys.platform == 'darwin' else 10):,} MB of memory at most"


def note(text: str) -> None:
    """Print a line for the person at the terminal; --quiet leaves it out unless it is a fault."""
    if _loudness > Loudness.QUIET or text.startswith(_FAULT):
        print(text, file=sys.stderr)


def note_problems(problems: Sequence[Problem]) -> None:
    """Report what was skipped, the first of it line by line."""
    for problem in problems[:20]:
        note(f"mrnn: {problem}")
    if len(problems) > 20:
        note(f"mrnn: and {len(problems) - 20:,} more")


def note_left_out(counts: Mapping[str, int]) -> None:
    """Say which entries of folders were left out by names and patterns, and which patterns fail."""
    listed = ", ".join(f"{printable(name)} ({n:,})" for name, n in sorted(counts.items()) if n)
    if listed:
        note(f"left out by their names: {listed}")
    for pattern in sorted(name for name, n in counts.items() if not n):
        note(f"mrnn: --exclude {printable(pattern)} leaves nothing out: no name or path is like it")


def emit(document: Any) -> None:
    """Print one JSON document on one line; undecodable file names survive as escapes."""
    print(json.dumps(document, allow_nan=False))


def exit_code(done: int, failed: int) -> int:
    """0 when all is done, 1 when nothing is, 3 in between."""
    if not failed:
        return 0
    return PARTLY if done else FAILED


def leads() -> bool:
    """Whether this process reports: alone, or the first of those that torchrun has started."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["RANK"] == "0"


@contextmanager
def progress(
    what: str, unit: str = "images", beside_output: bool = False
) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr with speed and ETA; nothing when that is not a terminal.

    Yields a function of (done, in all, remark) that may be called as often as is handy. The bar
    appears at its first call and ends when all is done. `beside_output` is for commands that print
    as they go: there is no bar where those lines go to a terminal too. Nor is one with --quiet.
    """
    is_quiet = _loudness is Loudness.QUIET
    if is_quiet or not sys.stderr.isatty() or (beside_output and sys.stdout.isatty()):
        yield lambda done, total, remark="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn(what, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + "  {task.fields[remark]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=False,  # stdout is data
    )
    task = bar.add_task("", total=None, remark="")

    def show(done: int, total: int, remark: str = "") -> None:
        if not bar.live.is_started and done < total:
            bar.start()
        bar.update(task, completed=done, total=total, remark=remark)
        if done >= total:
            bar.stop()

    try:
        yield show
    finally:
        bar.stop()


@contextmanager
def training_progress() -> Iterator[Callable[[Progress], None]]:
    """Progress of training with words/s and ETA; a line an epoch where there is no terminal."""

    def line(p: Progress) -> str:
        speed = p.words / max(p.seconds, 1e-9)
        what = "" if p.phase == "captions" else f"{p.phase} "
        text = f"{what}epoch {p.epoch}: {speed:,.0f} words/s, "
        text += f"train perplexity {p.train_perplexity:.2f}"
        if p.dev_perplexity is None:
            return text
        return f"{text}, dev {p.dev_perplexity:.2f}{' (best)' if p.is_best else ''}"

    with progress("training", "updates") as show:

        def report(p: Progress) -> None:
            show(p.update, p.updates, line(p))
            if p.dev_perplexity is not None:
                note(line(p))

        yield report
