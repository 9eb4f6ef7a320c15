"""A lab's life: how it is started, stopped and destroyed."""
