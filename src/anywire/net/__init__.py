"""Network protocols without I/O: bytes in, events out; frames in, bytes out."""
