"""The ASGI app and the processes that serve it: sockets, HTTP protocol, workers, reload, start-up checks."""
