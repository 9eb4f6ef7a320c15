"""The lab before your eyes: what happens in it now, or in a run that is over."""
