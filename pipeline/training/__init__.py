"""How the demo voice was made: corpus, training, export and measuring. Nothing else in the project imports this."""
