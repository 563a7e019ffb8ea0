"""The embedded default: a drawn world in the real on-disk formats and eight small trained CLIPs.

Importing this package imports nothing heavy; `catalogue` lists the models, `world.write_world` draws the data.
"""
