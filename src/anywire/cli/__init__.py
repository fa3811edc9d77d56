"""The command line: serve an app, try the demo, talk to a server."""
