"""The recipe of the demo voice. Only `jobs.train_demo_voice` imports it."""
