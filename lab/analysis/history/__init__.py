"""A run's history: its events, and the facts that are read from them before anything is judged."""
