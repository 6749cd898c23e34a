"""Client programs that nobody here wrote, each in a process of its own, before a live gateway."""
