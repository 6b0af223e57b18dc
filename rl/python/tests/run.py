"""Runs the tests of this folder whose files fit a pattern, and prints their counts as cargo's tests do."""

import sys
import unittest
from pathlib import Path

suite = unittest.defaultTestLoader.discover(str(Path(__file__).parent), pattern=sys.argv[1])
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
told = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
# Of a test that fails in several of its subtests each is told.
failed = len({getattr(test, "test_case", test) for test in told})
skipped = len(result.skipped)
# A module that cannot be imported counts as a test of its own.
word = "ok" if failed == 0 else "FAILED"
print(f"test result: {word}. {result.testsRun - failed - skipped} passed; {failed} failed; {skipped} ignored;")
sys.exit(failed > 0 or result.testsRun == 0)
