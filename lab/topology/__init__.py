"""The topology file: its format, its loader, and the model of a lab that comes out of it.

Scenario files and their expectations are read here, too. Nothing here asks Docker or a lab.
"""
