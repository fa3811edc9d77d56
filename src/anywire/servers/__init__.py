"""Hosts: what owns sockets and gives them to transports."""
