"""Pictures to tensors and back: letterbox, decoders, drawing."""
