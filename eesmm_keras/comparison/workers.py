"""Cells in processes of their own, some of them side by side, each on its part of the cores."""

import os
import queue
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from eesmm_keras import child_process
from eesmm_keras.errors import UserError


def cores_here():
    """Numbers of the processor cores that this process may use; empty where nobody can tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def check_jobs(jobs):
    """Raise a UserError unless there is at least one core for each job."""
    cores = len(cores_here()) or os.cpu_count() or 1
    if not 1 <= jobs <= cores:
        raise UserError(f"--jobs must lie between 1 and {cores}, the cores there are; got {jobs}.")


def split_cores(cores, jobs):
    """Cores in `jobs` parts of one size, what is left over to the first: a list of lists."""
    size = len(cores) // jobs
    parts = [cores[k * size : (k + 1) * size] for k in range(jobs)]
    parts[0] += cores[jobs * size :]
    return parts


def run_cells(cells, jobs, say):
    """Run cells and yield `(key, result)` as they finish.

    Args:
        cells: list of `(key, spec)`, see `cell.run_cell`.
        jobs: how many side by side.
        say: takes a line for every cell.

    Raises:
        UserError: a cell failed; those that had begun were finished first, and are kept.
    """
    free = queue.SimpleQueue()
    for part in split_cores(cores_here(), jobs):
        free.put(part)

    def run(key, spec):
        cores = free.get()
        try:
            method, _, seed = key
            say(f"{method}, {_budget(spec)}seed {seed}")
            return _run({**spec, "cores": cores if jobs > 1 else []})
        finally:
            free.put(cores)

    failure = None
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(run, key, spec): key for key, spec in cells}
        try:
            for future in as_completed(waiting):
                if future.cancelled():
                    continue
                if future.exception():
                    failure = failure or future.exception()
                    pool.shutdown(wait=False, cancel_futures=True)
                else:
                    yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failure:
        raise failure


def _budget(spec):
    budget = spec["settings"]["budget"]
    return f"{budget[0]}={budget[1]:g}, " if budget else ""


def _run(spec):
    """The result of one cell, from a process of its own."""
    try:
        return child_process.ask("eesmm_keras.comparison.cell", spec)
    except UserError as error:
        log = Path(spec["result"]).with_suffix(".log")
        log.write_text(getattr(error, "log", "") or str(error))
        settings = spec["settings"]
        raise UserError(
            f"{settings['method']}, seed {settings['seed']} failed: {error} (see {log})"
        ) from error
