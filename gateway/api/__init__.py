"""The gateway's own HTTP routes: status, feedback, the admin API, the console and the OpenAPI document."""
