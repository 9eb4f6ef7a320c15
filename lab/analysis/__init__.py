"""What a run's history proves: figures, verdicts, reports. Pure: it never asks a lab."""
