"""Judge and worker: a method in a process, or a sandbox, that does not have the answers."""
