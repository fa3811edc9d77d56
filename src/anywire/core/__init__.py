"""The core: sessions, members, rooms, and handlers between them; no sockets, no concrete wire."""
