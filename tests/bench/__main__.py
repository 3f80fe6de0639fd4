"""make bench; and its parts on their own: python -m tests.bench PART...

Parts of make bench are hostile, cpu, units, cold, isolation: their figures are stored. Besides, there are
commands, fanout, hard, pressure and waiting.
"""

import sys

if __name__ == "__main__":  # and the imports not before: the measured processes import this module
    match sys.argv[1:]:
        case ["commands"]:
            from tests.bench.commands import main
        case ["fanout"]:
            from tests.bench.fanout import main
        case ["hard", *_]:
            from tests.bench.hard import main
        case ["pressure", *_]:
            from tests.bench.pressure import main
        case ["waiting"]:
            from tests.bench.waiting import main
        case names:
            from functools import partial

            from tests.bench import run

            if unknown := set(names) - run.PARTS.keys():
                sys.exit(f"There is no part {', '.join(sorted(unknown))}. See the first lines of {__file__}.")
            main = partial(run.main, names)
    main()
