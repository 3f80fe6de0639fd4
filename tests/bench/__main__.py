"""make bench."""

if __name__ == "__main__":
    from tests.bench.run import main  # not before: the measured processes import this module

    main()
