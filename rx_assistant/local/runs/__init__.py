"""Runs: an engine's actions become objects in the store and events for the run's readers."""
