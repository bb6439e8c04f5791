"""`python -m tortoise.read`."""

from tutortoietts.cli.originals import read_app

__all__ = ["read_app"]

if __name__ == "__main__":
    read_app(prog_name="read")
