"""Transports: one physical way to a client each; they carry payloads and know no protocol."""
