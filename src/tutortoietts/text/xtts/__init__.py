"""Text as the public XTTS-v2 model was trained to read it: its cleaner and its tokenizer, for 17 languages."""
