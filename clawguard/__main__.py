"""`python -m clawguard` is the `clawguard` command."""

from clawguard.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
