"""make bench; and its part that needs no AWS: python -m tests.bench fanout."""

import sys

if __name__ == "__main__":  # and the imports not before: the measured processes import this module
    if sys.argv[1:] == ["fanout"]:
        from tests.bench.fanout import main
    else:
        from tests.bench.run import main

    main()
