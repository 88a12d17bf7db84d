"""Statistics and figures of search runs."""
