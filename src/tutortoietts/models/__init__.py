"""One model a file, forward passes only: no files, no downloads, no sampling."""
