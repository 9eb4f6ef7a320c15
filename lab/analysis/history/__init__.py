"""A run's history: its events, and what is read from them before anybody judges."""
