"""Speed and memory, measured: `make bench`. Each file is one bench; nothing here decides a test."""
