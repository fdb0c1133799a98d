"""Voice manifests of text with Spark-TTS as a batch job on Ray."""
