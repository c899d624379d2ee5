"""`python -m batchata`: the command, where `batchata` is not on the path."""

from batchata.cli import main

if __name__ == "__main__":
    main()
