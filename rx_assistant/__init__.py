"""The Assistants event stream as a hot Observable, with operators, snapshots, polling and a local server."""
