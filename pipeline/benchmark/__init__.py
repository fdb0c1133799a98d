"""What `python -m jobs.benchmark` measures; nothing else imports it."""
