"""`python -m cli`: what `./async-code` runs."""

from cli.app import app

if __name__ == "__main__":
    app(prog_name="async-code")
