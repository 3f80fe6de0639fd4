"""make bench; and its parts on their own: python -m tests.bench cpu, fanout, hard, pressure, waiting."""

import sys

if __name__ == "__main__":  # and the imports not before: the measured processes import this module
    if sys.argv[1:] == ["cpu"]:
        from tests.bench.cpu import main
    elif sys.argv[1:] == ["fanout"]:
        from tests.bench.fanout import main
    elif sys.argv[1:2] == ["hard"]:
        from tests.bench.hard import main
    elif sys.argv[1:2] == ["pressure"]:
        from tests.bench.pressure import main
    elif sys.argv[1:] == ["waiting"]:
        from tests.bench.waiting import main
    else:
        from tests.bench.run import main

    main()
