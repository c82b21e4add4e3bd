"""One step of the method on the user's own files: tables in, tables out, no workspace.

Every tool reads and writes a bounded piece at a time, and leaves either a complete file or none.
"""
