"""`python -m lab` is `halab`."""

from lab.cli import main

if __name__ == "__main__":
    main()
