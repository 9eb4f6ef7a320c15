"""Scenarios: found, checked, carried out step by step, judged."""
