"""What the pipelines do to the world, one module a subject; orchestrations import these."""
