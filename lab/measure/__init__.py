"""The instrument: an agent that asks every 20 ms, what it asks, and the journals read beside it."""
