"""What a run's history proves: figures, verdicts and reports. Pure: nothing here asks a lab."""
