"""The models behind the gateway: distilling and serving a student, scoring answers, replaying recorded ones."""
