"""A lab that exists: its handle, its secrets, its state, and what can be asked of it."""
