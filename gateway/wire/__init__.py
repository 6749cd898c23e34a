"""Data formats on the wire: JSON bodies, server-sent events, ids, headers and the text of chats."""
