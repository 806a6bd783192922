"""Vector stores: files become text, text becomes chunks, and a search finds passages in chunks."""
