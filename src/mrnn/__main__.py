"""`python -m mrnn` is the same as `mrnn`."""

from .commands.cli import main

if __name__ == "__main__":
    main()
