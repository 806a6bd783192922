"""One pure builder for each of the 44 operations, in one file per resource: ids and parameters → a `Request`."""
