"""Break what decides, one small change at a time, and see whether a test or the types tell.

Run by `make mutants`. mutmut makes the mutants and runs the tests; here is only which tests and how many:
those that reach the mutated function, for some seconds, see `tests.mutants.choosing`. What was judged is
kept in mutants/, so that a run that was stopped goes on; a function that was changed is judged anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from math import ceil
from pathlib import Path
from zlib import crc32

from mutmut.__main__ import collect_or_load_stats, collect_source_file_mutation_data, create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import MutantLineSpans, SourceFileMutationData
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import load_stats
from mutmut.type_checking import run_type_checker
from mutmut.utils.file_utils import (
    change_cwd,
    copy_also_copy_files,
    copy_src_dir,
    setup_source_paths,
    walk_mutatable_files,
)
from mutmut.utils.format_utils import get_mutant_name, mangled_name_from_mutant_name
from mutmut.workers.isolation import ForkRunner, MutantRunner, run_in_fork

from tests.mutants import page
from tests.mutants.choosing import chosen, seconds_of

_CAUGHT_BY_TYPES, _NO_TESTS, _SURVIVED, _BROKEN = 37, 33, 0, 35
_TOO_LONG = {24, -24, 152}


class CarefulRunner(PytestRunner):  # type: ignore[misc]  # where mutmut is not installed
    """Run a mutant's tests; what keeps them from running is no test that tells."""

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Return pytest's status, or another one where it could not run them."""
        try:
            return super().run_tests(mutant_name=mutant_name, tests=tests)
        except Exception:
            return _BROKEN


def main() -> int:
    """Judge the mutants of those modules that are named, by default all, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=main.__doc__)
    parser.add_argument("modules", nargs="*", default=["*"], metavar="GLOB", help="as guard.* or scopes")
    parser.add_argument("--seconds", type=float, default=5, help="how long the tests of one mutant take")
    parser.add_argument("--again", action="store_true", help="judge those once more that survived")
    parser.add_argument(
        "--share", type=int, default=100, help="how many of a hundred mutants, always the same"
    )
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # pytest starts anew for each mutant
    _make(given.jobs)
    waiting = _waiting(given.modules, given.share, again=given.again)
    if waiting:
        _judge(waiting, given.seconds, ForkRunner(given.jobs, CarefulRunner()), all_tests=given.again)
    page.write()
    return 0


def _make(jobs: int) -> None:
    set_mutant_under_test("mutant_generation")
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    create_mutants(jobs)


def _waiting(modules: Iterable[str], share: int, *, again: bool) -> list[tuple[SourceFileMutationData, str]]:
    """Return the mutants that are to be judged, in the order in which their modules were named."""
    wanted = {None, _SURVIVED, _NO_TESTS, _BROKEN, *_TOO_LONG} if again else {None}
    found: dict[str, SourceFileMutationData] = {}
    for each in modules:
        mutants, _ = collect_source_file_mutation_data(mutant_names=[f"clawguard.{each}.x*"])
        for data, name, verdict in mutants:
            if verdict in wanted and crc32(name.encode()) % 100 < share:
                found.setdefault(name, data)
    return [(data, name) for name, data in found.items()]


def _judge(
    waiting: list[tuple[SourceFileMutationData, str]],
    seconds: float,
    runner: MutantRunner,
    *,
    all_tests: bool,
) -> None:
    by_types = _caught_by_types()
    assert run_in_fork(lambda: collect_or_load_stats(runner) or 0) == 0, "a test fails without any mutant"
    load_stats()
    known = runner.list_all_tests().ids  # imports the tests, too, for all that are forked from here
    set_mutant_under_test("")
    running: dict[str, SourceFileMutationData] = {}

    def note(data: SourceFileMutationData, name: str, verdict: int, lasted: float = 0) -> None:
        data.exit_code_by_key[name], data.durations_by_key[name] = verdict, lasted
        data.save()

    def note_next() -> None:
        result = runner.wait_for_result()
        note(running.pop(result.mutant_name), result.mutant_name, result.exit_code, result.duration)

    runner.startup()
    for number, (data, name) in enumerate(waiting, 1):
        print(f"{number} of {len(waiting)}: {name}", end="\r" if sys.stdout.isatty() else "\n", flush=True)
        was, _ = page.change_of(data.meta_path.with_suffix(""), name)
        reaching = known & state().tests_by_mangled_function_name[mangled_name_from_mutant_name(name)]
        lasts = state().duration_by_test
        tests = chosen(name, was, reaching, lasts, seconds=seconds, all_tests=all_tests)
        if name in by_types:
            note(data, name, _CAUGHT_BY_TYPES)
        elif not tests:
            note(data, name, _NO_TESTS)
        else:
            while not runner.has_capacity():
                note_next()
            running[name] = data
            expected = seconds_of(tests, lasts)
            limit = (expected + config().timeout_constant) * config().timeout_multiplier
            runner.submit(name, tests, ceil(2 * limit), expected)
    while runner.pending_count():
        note_next()
    runner.shutdown()


def _caught_by_types() -> set[str]:
    """Return the mutants in which the types find a fault; mutmut's own way takes minutes for it."""
    with change_cwd("mutants"):
        faults = run_type_checker(config().type_check_command)
    spans = {path.absolute(): MutantLineSpans.load(path) for path in walk_mutatable_files()}
    caught = set()
    for fault in faults:
        source = fault.file_path.relative_to(Path("mutants").absolute())
        found = spans[source.absolute()]
        for function, span in found.span_by_function_name.items() if found else ():
            if span.start <= fault.line_number <= span.end:
                caught.add(get_mutant_name(source, function))
    # Some functions look wrong beside their own mutants, without any change: there the types tell nothing.
    unsure = {mangled_name_from_mutant_name(each) for each in caught if each.endswith("_orig")}
    return {each for each in caught if mangled_name_from_mutant_name(each) not in unsure}


if __name__ == "__main__":
    sys.exit(main())
