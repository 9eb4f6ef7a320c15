"""The instrument: an agent that asks every 20 ms, its probes, and the machines' journals."""
