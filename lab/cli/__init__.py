"""The command line: a module for each kind of task, and what they share."""
