"""Lessons: what a learner does to a lab, the checks that watch it, and the debrief."""
