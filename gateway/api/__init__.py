"""The gateway's own HTTP routes: status, feedback, the admin API, the console, /openapi.json and /docs."""
