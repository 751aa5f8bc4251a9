"""`python -m cli`: what `./async-code` runs."""

from cli.app import main

if __name__ == "__main__":
    main()
