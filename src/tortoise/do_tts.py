"""`python -m tortoise.do_tts`."""

from tutortoietts.cli.originals import do_tts_app

__all__ = ["do_tts_app"]

if __name__ == "__main__":
    do_tts_app(prog_name="do_tts")
