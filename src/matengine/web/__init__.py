"""Pages for operators and analysts: plain HTML from the server, which works without a network."""
