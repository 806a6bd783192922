"""Vector stores: text out of files, chunks out of text, passages out of chunks."""
