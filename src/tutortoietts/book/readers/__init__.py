"""Readers: one module a format, all giving a `book.document.Document`."""
