"""The demo: a chat in which every kind of client meets, and the page that shows it."""
