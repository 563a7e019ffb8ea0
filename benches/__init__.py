"""Speed and memory, measured: `make bench`; and parity with open_clip on your own photographs. Nothing here decides a test."""
