"""The generator backend: text in, text out, batched in flight."""
