"""`python -m include.local COMMAND`."""

from include.local.cli import main

if __name__ == "__main__":
    main()
