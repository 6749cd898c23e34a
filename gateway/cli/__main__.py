"""`python -m breakeven.gateway.cli` is the `breakeven` command."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # `-m` puts the working directory first on sys.path; a file in it must never be imported in place of a library.
        del sys.path[0]
    from breakeven.gateway.cli.main import main

    main()
