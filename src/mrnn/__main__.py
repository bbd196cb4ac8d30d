"""`python -m mrnn` is the same as `mrnn`."""

from .cli import app

if __name__ == "__main__":
    app(prog_name="mrnn")
