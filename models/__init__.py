"""The models behind the gateway: serving a student, replaying recorded answers, distilling."""
