"""What all commands share: exit codes, failures in one sentence, JAX made ready, progress."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class BadInput(ValueError):
    """What the user gave cannot be used; the message says why and what to do."""


class Failed(RuntimeError):
    """The computation could not be done; the message says why."""


def prepare_jax() -> None:
    """float64, and compiled programs kept between runs; before anything is compiled."""
    import jax
    import platformdirs

    jax.config.update("jax_enable_x64", True)
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning
    )
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return  # the user's own, by JAX_COMPILATION_CACHE_DIR
    folder = Path(platformdirs.user_cache_dir("widthwise")) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # nowhere to keep them: compile anew
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on a terminal, else one plain line per new message; on stderr."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        shown: list[str] = []

        def line(done: int, total: int, message: str) -> None:
            if shown[-1:] != [message]:
                shown.append(message)
                console.print(f"[{done}/{total}] {message}")

        yield line
        return

    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    said = TextColumn("{task.description}", markup=False)
    with Progress(*columns, said, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(done: int, total: int, message: str) -> None:
            bar.update(task, completed=done, total=total, description=message)

        yield update
