"""The recipe of the bundled voice model; nothing else imports this room. See docs/training.md."""
