"""What goes over the wire: JSON bodies, server-sent events, ids, headers and the text of chats."""
