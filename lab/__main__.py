"""`python -m lab` is `halab`."""

from lab.cli.main import main

if __name__ == "__main__":
    main()
