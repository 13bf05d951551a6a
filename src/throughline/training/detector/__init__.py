"""The bundled detector as a network that learns: its shape, and what it is told about its mistakes."""
