"""What answers runs."""
