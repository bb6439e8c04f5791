"""`python -m tutortoietts` and the console command `tutortoietts`."""

from __future__ import annotations


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated."""
    from tutortoietts.cli import run

    run()


if __name__ == "__main__":
    main()
