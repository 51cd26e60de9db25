"""What git is told to ask, and what becomes of its answer: real repositories, a real SSH server."""
