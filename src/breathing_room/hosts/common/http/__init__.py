"""HTTP as every host has it: responses, middleware, origins, the handshake, the page's files."""
